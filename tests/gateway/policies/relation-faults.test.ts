import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ConfigurationError, formatFinding } from '../../../core/yaml-file.ts';
import { loadBundle, type Bundle } from '../../../gateway/policies/bundle.ts';
import { createEvaluator } from '../../../gateway/policies/evaluation/evaluate.ts';
import { placedTests, runTests } from '../../../gateway/policies/evaluation/run-tests.ts';
import { readTestFile, referenceFindings } from '../../../gateway/policies/evaluation/test-files.ts';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { context, edited, writePolicies } from './policy-directory.ts';

function load(changes: Readonly<Record<string, string | null>>): { lines: string[]; bundle: Bundle | null } {
  const { directory, remove } = writePolicies(changes);
  const cut = (text: string): string => text.replace(`${directory}/`, '');
  try {
    const bundle = loadBundle(directory, context);
    return { lines: bundle.warnings.map(formatFinding).map(cut), bundle };
  } catch (error) {
    assert.ok(error instanceof ConfigurationError, String(error));
    return { lines: error.findings.map(formatFinding).map(cut), bundle: null };
  } finally {
    remove();
  }
}

const relations = `types:
  user: {}
  group: { member: [user] }
  team: { member: [user, team#member] }
  folder: { parent: [folder], viewer: [user, team#member, viewer from parent] }
  model: { parent: [folder], owner: [user, team#member], viewer: [owner, viewer from parent] }
tuples:
  - team:research#member@user:alice
  - folder:labs#viewer@team:research#member
  - model:tiny-gpt2#parent@folder:labs
`;
const good = { 'relations.yaml': relations };
const rule = (when: string): Record<string, string> => ({
  ...good,
  'rules.yaml': `rules:\n  - { name: a, effect: deny, when: '${when}' }\n`,
});

describe('relations.yaml', () => {
  it('is part of the bundle, and may be left out', () => {
    assert.ok(load(good).bundle?.fileDigests.has('relations.yaml'));
    assert.deepEqual(load({}).bundle?.relations, { types: {}, tuples: [] });
    assert.deepEqual(load(good).lines, []);
  });

  const change = (from: string, to: string): Record<string, string> => {
    assert.ok(relations.includes(from), from);
    return { 'relations.yaml': relations.replace(from, to) };
  };
  const refusals: [string, Record<string, string | null>, string][] = [
    [
      'a type that is not there',
      change('member: [user, team', 'member: [usr, team'),
      'relations.yaml:4:20 types.team.member.0: there is no type or other relation "usr"; did you mean "user"?',
    ],
    [
      'a userset that is not there',
      change('team#member] }\n  folder', 'team#membr] }\n  folder'),
      'relations.yaml:4:26 types.team.member.1: there is no relation of team named "membr"; did you mean "member"?',
    ],
    [
      'a wildcard of no type',
      change('member: [user, team', "member: ['usr:*', team"),
      'relations.yaml:4:20 types.team.member.0: there is no type "usr"; did you mean "user"?',
    ],
    [
      'a way through no relation',
      change('viewer from parent] }\n  model', 'viewer from parnt] }\n  model'),
      'relations.yaml:5:59 types.folder.viewer.2: there is no relation of folder named "parnt"; did you mean "parent"?',
    ],
    [
      'an inherited relation that is not there',
      change('viewer from parent] }\n  model', 'viewr from parent] }\n  model'),
      'relations.yaml:5:59 types.folder.viewer.2: there is no relation of folder named "viewr"; did you mean "viewer"?',
    ],
    [
      'a way through people',
      change('viewer: [owner, viewer from parent]', 'viewer: [owner, viewer from owner]'),
      'relations.yaml:6:74 types.model.viewer.1: owner must name objects: types alone, without usersets or other relations',
    ],
    [
      'a word that is type and relation',
      change('owner: [user, team#member], viewer', 'team: [team], owner: [user, team], viewer'),
      'relations.yaml:6:58 types.model.owner.1: "team" is a type and another relation of model: name one of them otherwise',
    ],
    [
      'a source that is none',
      change('[user, team#member] }\n  folder', '[user but not x] }\n  folder'),
      'relations.yaml:4:20 types.team.member.0: one of: a type (user), everybody of a type (user:*), a userset (team#member), another relation (owner), or one of a related object (viewer from parent)',
    ],
    [
      'an unknown key',
      change('tuples:', 'tuple:'),
      'relations.yaml:7:1 tuple: unknown key "tuple"; did you mean "tuples"?',
    ],
    [
      'a tuple that is none',
      change('team:research#member@user:alice', 'team:research member user:alice'),
      'relations.yaml:8:5 tuples.0: a tuple is written object#relation@subject, e.g. model:gpt2#viewer@user:alice',
    ],
    [
      'a tuple of no type',
      change('team:research#member@user', 'taem:research#member@user'),
      'relations.yaml:8:5 tuples.0: there is no type "taem"; did you mean "team"?',
    ],
    [
      'a tuple of no relation',
      change('team:research#member@user', 'team:research#memer@user'),
      'relations.yaml:8:5 tuples.0: team has no relation "memer"; did you mean "member"?',
    ],
    [
      'a tuple that the relation does not take',
      change('#parent@folder:labs', '#parent@user:alice'),
      'relations.yaml:10:5 tuples.2: user cannot be written as parent of a model; only folder can be',
    ],
    [
      'a tuple of a relation that only follows',
      change('#parent@folder:labs', '#viewer@user:alice'),
      'relations.yaml:10:5 tuples.2: user cannot be written as viewer of a model; nothing can be',
    ],
    [
      'an unknown issuer',
      { 'relations.yaml': `${relations}principals: { embeded: { subject: user } }\n` },
      'relations.yaml:11:15 principals.embeded: there is no issuer "embeded"; did you mean "embedded"?',
    ],
    [
      'an unknown type of people',
      { 'relations.yaml': `${relations}principals: { embedded: { subject: usr } }\n` },
      'relations.yaml:11:27 principals.embedded.subject: there is no type "usr"; did you mean "user"?',
    ],
    [
      'groups without members',
      { 'relations.yaml': `${relations}principals: { embedded: { subject: user, groups: model } }\n` },
      'relations.yaml:11:42 principals.embedded.groups: model needs a relation member that takes user',
    ],
  ];
  for (const [title, changes, line] of refusals)
    it(`is refused for ${title}`, () => assert.deepEqual(load(changes).lines, [line]));

  const twoIssuers = edited(
    'issuers.yaml',
    'issuers:\n',
    `issuers:\n  other:\n    issuer: https://other.test\n    audiences: [api://sallyport]\n    client_ids: [cli]\n`,
  );
  it('says with several issuers what the people of each are called', () => {
    assert.deepEqual(load({ ...good, ...twoIssuers }).lines, [
      'relations.yaml:1:1 types: with more than one trusted issuer, principals says what the people of each are called',
    ]);
    assert.deepEqual(load(twoIssuers).lines, []);
    const named = `${relations}principals: { embedded: { subject: user, groups: group }, other: { subject: user } }\n`;
    assert.deepEqual(load({ 'relations.yaml': named, ...twoIssuers }).lines, [
      'relations.yaml:11:68 principals.other.subject: the people of other and embedded are called alike: one subject at both is one user',
    ]);
  });
});

describe('related() in rules.yaml', () => {
  for (const when of [
    'related("viewer", "model:tiny-gpt2")',
    'related("viewer", "model:" + request.model)',
    'related("member", "team:research", "user:" + principal.subject)',
  ])
    it(`is taken as ${when}`, () => assert.deepEqual(load(rule(when)).lines, []));

  const refusals: [string, string, number, string][] = [
    [
      'a relation that is not there',
      'related("viewr", "model:tiny-gpt2")',
      9,
      'model has no relation "viewr"; did you mean "viewer"?',
    ],
    [
      'a relation of another type',
      'related("member", "model:tiny-gpt2")',
      9,
      'model has no relation "member"',
    ],
    [
      'a type that is not there',
      'related("viewer", "modle:" + request.model)',
      19,
      'relations.yaml has no type "modle"; did you mean "model"?',
    ],
    [
      'a subject of no type',
      'related("viewer", "model:x", "usr:" + principal.subject)',
      30,
      'relations.yaml has no type "usr"; did you mean "user"?',
    ],
    [
      'a relation that is computed',
      'related(principal.subject, "model:x")',
      8,
      'a relation is written out here, such as "viewer"',
    ],
    [
      'an object that is computed',
      'related("viewer", principal.subject)',
      18,
      'an object begins with its type, written out: "model:gpt2" or "model:" + request.model',
    ],
    [
      'an object without an id',
      'related("viewer", "model:")',
      18,
      'an object begins with its type, written out: "model:gpt2" or "model:" + request.model',
    ],
    [
      'an object without a type',
      'related("viewer", "model" + request.model)',
      18,
      'an object begins with its type, written out: "model:gpt2" or "model:" + request.model',
    ],
    ['one operand', 'related("viewer")', 0, 'there is no related(string)'],
    [
      'a number',
      'related("viewer", 7)',
      18,
      'an object begins with its type, written out: "model:gpt2" or "model:" + request.model',
    ],
    [
      'a walk over groups',
      'principal.groups.exists(g, related("viewer", "model:" + g))',
      27,
      'related() within exists() is refused, because the work multiplies',
    ],
    [
      'a misspelt function',
      'relatd("viewer", "model:x")',
      0,
      'there is no function "relatd"; did you mean "related"?',
    ],
  ];
  for (const [title, when, column, message] of refusals)
    it(`is refused for ${title}`, () =>
      assert.deepEqual(load(rule(when)).lines, [`rules.yaml:2:${37 + column} rules.0.when: ${message}`]));

  it('is refused without relations.yaml', () => {
    const { 'rules.yaml': rules } = rule('related("viewer", "model:x")');
    assert.deepEqual(load({ 'rules.yaml': rules ?? '' }).lines, [
      'rules.yaml:2:37 rules.0.when: related() asks relations.yaml, which has no types here',
    ]);
  });
});

describe('policy tests', () => {
  const files = rule('!related("viewer", "model:" + request.model)');
  const withTests = (tests: string) => {
    const { directory, remove } = writePolicies(files);
    mkdirSync(join(directory, 'tests'));
    const path = join(directory, 'tests', 'relations.yaml');
    writeFileSync(path, tests);
    try {
      const bundle = loadBundle(directory, context);
      const file = readTestFile(path);
      const surroundings = { issuers: bundle.issuers, embeddedIssuer: context.embeddedIssuer };
      const results = runTests(placedTests([file]), createEvaluator({ bundle, context }), surroundings);
      return { findings: referenceFindings(file, { bundle }), results };
    } finally {
      remove();
    }
  };

  it('are answered from the tuples of the bundle and those of the test', () => {
    const { results, findings } = withTests(`
- { name: alice, as: { subject: alice, roles: [LLM.User] }, do: chat.completions.create, model: tiny-gpt2, expect: permit }
- { name: bob, as: { subject: bob, roles: [LLM.User] }, do: chat.completions.create, model: tiny-gpt2, expect: access_denied, by: rules.a }
- { name: bob who owns it, as: { subject: bob, roles: [LLM.User] }, do: chat.completions.create, model: tiny-gpt2, relations: ['model:tiny-gpt2#owner@user:bob'], expect: permit }
- { name: bob afterwards, as: { subject: bob, roles: [LLM.User] }, do: chat.completions.create, model: tiny-gpt2, expect: access_denied }
`);
    assert.deepEqual(findings, []);
    assert.deepEqual(
      results.filter(({ passed }) => !passed).map(({ test }) => test.name),
      [],
    );
  });

  it('are refused with tuples that the types do not allow', () => {
    const { findings } = withTests(
      "- { name: x, as: { roles: [LLM.User] }, do: models.list, relations: ['model:a#viewer@user:x'], expect: permit }\n",
    );
    assert.match(
      findings.map(formatFinding).join(),
      /relations\.0: user cannot be written as viewer of a model/,
    );
  });
});
