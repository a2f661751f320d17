import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { ConfigurationError, formatFinding } from '../../../core/yaml-file.ts';
import { loadBundle } from '../../../gateway/policies/bundle.ts';
import { context, edited, writePolicies } from './policy-directory.ts';

function linesOf(changes: Readonly<Record<string, string | null>>): string[] {
  const { directory, remove } = writePolicies(changes);
  const shown = (lines: readonly string[]): string[] =>
    lines.map((line) => line.replace(`${directory}/`, ''));
  try {
    return shown(loadBundle(directory, context).warnings.map(formatFinding));
  } catch (error) {
    assert.ok(error instanceof ConfigurationError, String(error));
    return shown(error.findings.map(formatFinding));
  } finally {
    remove();
  }
}
const ruleLines = (...rules: string[]): string[] =>
  linesOf({ 'rules.yaml': `rules:\n${rules.map((rule) => `  - ${rule}\n`).join('')}` });

describe('rules.yaml is refused for', () => {
  const refusals: [what: string, rule: string, line: string][] = [
    [
      'a rule without effect and require',
      '{ name: a, models: [x] }',
      'rules.yaml:2:7 rules.0.name: a rule has an effect (permit or deny), a require or obligations',
    ],
    [
      'a deny with a sign-in',
      '{ name: a, effect: deny, require: { amr: [mfa] } }',
      'rules.yaml:2:30 rules.0.require: a deny rule denies whatever the sign-in; leave effect out to ask for a sign-in',
    ],
    [
      'a permit without actions',
      '{ name: a, effect: permit, roles: [LLM.User] }',
      'rules.yaml:2:16 rules.0.effect: a permit rule names its actions',
    ],
    [
      'a permit for every action',
      "{ name: a, effect: permit, actions: ['*'], roles: [LLM.User] }",
      'rules.yaml:2:32 rules.0.actions: a permit rule for every action would undo the roles; name the actions',
    ],
    [
      'a permit for everybody',
      '{ name: a, effect: permit, actions: [models.list], network: [10.0.0.0/8] }',
      'rules.yaml:2:16 rules.0.effect: a permit rule says for whom: issuers, clients, roles, scopes, when',
    ],
    [
      'an unknown effect',
      '{ name: a, effect: denny }',
      'rules.yaml:2:16 rules.0.effect: expected one of permit, deny; did you mean "deny"?',
    ],
    [
      'an unknown key',
      '{ name: a, effect: deny, model: [x] }',
      'rules.yaml:2:30 rules.0.model: unknown key "model"; did you mean "models"?',
    ],
    [
      'an unknown action',
      '{ name: a, effect: deny, actions: [models.lst] }',
      'rules.yaml:2:40 rules.0.actions.0: there is no route with the action "models.lst"; did you mean "models.list"?',
    ],
    [
      'an unknown role',
      '{ name: a, effect: deny, roles: [LLM.Usr] }',
      'rules.yaml:2:38 rules.0.roles.0: there is no role "LLM.Usr"; did you mean "LLM.User"?',
    ],
    [
      'an unknown issuer',
      '{ name: a, effect: deny, issuers: [embeded] }',
      'rules.yaml:2:40 rules.0.issuers.0: there is no issuer "embeded"; did you mean "embedded"?',
    ],
    [
      'an empty list',
      '{ name: a, effect: deny, models: [] }',
      'rules.yaml:2:30 rules.0.models: the list is empty',
    ],
    [
      'a network that is none',
      '{ name: a, effect: deny, network: [10.0.0.0/40] }',
      'rules.yaml:2:40 rules.0.network.0: a network is an IP address or a CIDR block such as 10.0.0.0/8',
    ],
    [
      'a name instead of an address',
      '{ name: a, effect: deny, network: [localhost] }',
      'rules.yaml:2:40 rules.0.network.0: a network is an IP address or a CIDR block such as 10.0.0.0/8',
    ],
    [
      'an hour that is none',
      "{ name: a, effect: deny, time: { from: '25:00', timezone: UTC } }",
      'rules.yaml:2:38 rules.0.time.from: a time is HH:MM, from 00:00 to 24:00',
    ],
    [
      'a timezone that is none',
      '{ name: a, effect: deny, time: { days: [mon], timezone: Mars/Base } }',
      'rules.yaml:2:51 rules.0.time.timezone: a timezone is an IANA name such as Europe/Berlin, or UTC',
    ],
    [
      'an offset for a timezone',
      "{ name: a, effect: deny, time: { days: [mon], timezone: '+01:00' } }",
      'rules.yaml:2:51 rules.0.time.timezone: a timezone is an IANA name such as Europe/Berlin, or UTC',
    ],
    [
      'a span without a moment',
      "{ name: a, effect: deny, time: { from: '08:00', to: '08:00', timezone: UTC } }",
      'rules.yaml:2:30 rules.0.time: the span is empty: from and to are the same moment',
    ],
    [
      'a time that says nothing',
      '{ name: a, effect: deny, time: { timezone: UTC } }',
      'rules.yaml:2:30 rules.0.time: a time names days, from or to',
    ],
    [
      'a require that says nothing',
      '{ name: a, require: {} }',
      'rules.yaml:2:16 rules.0.require: require names acr, amr or max_age',
    ],
    [
      'an acr that would break the challenge',
      "{ name: a, require: { acr: ['a b'] } }",
      'rules.yaml:2:33 rules.0.require.acr.0: one word without blanks, quotes or backslashes',
    ],
    [
      'a max_age below a second',
      '{ name: a, require: { max_age: 500ms } }',
      'rules.yaml:2:27 rules.0.require.max_age: max_age is in whole seconds, from 1s',
    ],
    [
      'a name with blanks',
      "{ name: 'a b', effect: deny }",
      'rules.yaml:2:7 rules.0.name: a rule is named by lower-case letters, digits and . _ -',
    ],
    [
      'matches()',
      `{ name: a, effect: deny, when: 'request.model.matches("a")' }`,
      'rules.yaml:2:51 rules.0.when: matches() is refused, because its time can explode on hostile text; rematch() is RE2; did you mean "rematch"?',
    ],
  ];
  for (const [what, rule, line] of refusals) {
    it(what, () => {
      assert.deepEqual(ruleLines(rule), [line]);
    });
  }

  it('two rules of one name', () => {
    assert.deepEqual(
      ruleLines('{ name: a, effect: deny, models: [tiny-gpt2] }', '{ name: a, effect: deny }'),
      ['rules.yaml:3:7 rules.1.name: another rule is named "a"'],
    );
  });

  it('every fault at once', () => {
    const when = `'principl.subject == "x"'`;
    assert.equal(ruleLines(`{ name: a, models: [x], roles: [Ghost], when: ${when} }`).length, 3);
  });
});

describe('rules.yaml draws a warning for', () => {
  const warnings: [rule: string, line: string][] = [
    [
      '{ name: a, effect: deny, models: [ghost-*] }',
      'rules.yaml:2:39 rules.0.models.0: no upstream serves the model ghost-*',
    ],
    [
      '{ name: a, effect: deny, actions: [payments.*] }',
      'rules.yaml:2:40 rules.0.actions.0: no route has an action payments.*',
    ],
    [
      '{ name: a, effect: deny, clients: [stranger] }',
      'rules.yaml:2:40 rules.0.clients.0: no issuer accepts the client stranger',
    ],
  ];
  for (const [rule, line] of warnings)
    it(line.replace(/^.*: /, ''), () => {
      assert.deepEqual(ruleLines(rule), [line]);
    });
});

describe('roles.yaml is refused for', () => {
  const roles = (text: string): Record<string, string> => ({
    'roles.yaml': `roles:\n  A: { permits: [models.list] }\n  B: { permits: [models.list] }\n${text}`,
  });
  const separate = 'separation_of_duties: [[A, B]]\n';
  const refusals: [what: string, text: string, finding: RegExp][] = [
    ['a pair of one role', 'separation_of_duties: [[A, A]]\n', /^roles\.yaml:4:28 .*two different roles$/],
    [
      'a pair with an unknown role',
      'separation_of_duties: [[A, BB]]\n',
      /^roles\.yaml:4:28 .*no role "BB"; did you mean "B"\?$/,
    ],
    [
      'a role that includes both',
      `  C: { inherits: [A, B] }\n${separate}`,
      /^roles\.yaml:4:8 roles\.C\.inherits: the role joins the separated duties A and B$/,
    ],
    [
      'a role that includes both by others',
      `  C: { inherits: [A] }\n  D: { inherits: [C, B] }\n${separate}`,
      /^roles\.yaml:5:8 roles\.D\.inherits/,
    ],
    [
      'a group that gets both',
      `assignments: [{ role: A, groups: [g, h] }, { role: B, groups: [h] }]\n${separate}`,
      /assignments\.1: with the assignment of A, this joins the separated duties A and B$/,
    ],
    [
      'a client that gets both',
      `assignments: [{ role: A, client_ids: [c] }, { role: B, client_ids: [c], groups: [g] }]\n${separate}`,
      /assignments\.1: with/,
    ],
    [
      'a subject that gets both',
      `assignments: [{ role: B, subjects: [s] }, { role: A, subjects: [s] }]\n${separate}`,
      /assignments\.1: with the assignment of B/,
    ],
    [
      'an assignment to nobody',
      'assignments: [{ role: A }]\n',
      /assignments\.0: an assignment names groups, client_ids or subjects$/,
    ],
  ];
  for (const [what, text, finding] of refusals)
    it(what, () => {
      const [line = ''] = linesOf(roles(text));
      assert.match(line, finding);
    });

  it('a subject that two issuers may use for two people', () => {
    const issuers = edited(
      'issuers.yaml',
      'issuers:\n',
      'issuers:\n  other: { issuer: https://other.test, audiences: [x], client_ids: [y] }\n',
    );
    const assigned = roles('assignments: [{ role: A, subjects: [s] }]\n');
    assert.match(
      linesOf({ ...assigned, ...issuers })[0] ?? '',
      /assignments\.0\.subjects: with more than one/,
    );
  });

  it('nothing, when the same entry cannot fulfil both assignments', () => {
    for (const text of [
      'assignments: [{ role: A, groups: [g] }, { role: B, groups: [h] }]\n',
      'assignments: [{ role: A, groups: [g], client_ids: [c] }, { role: B, groups: [g], client_ids: [d] }]\n',
    ])
      assert.deepEqual(linesOf(roles(text + separate)), []);
  });
});

describe('a bundle', () => {
  it('may go without rules.yaml, and says in its digest when it comes', () => {
    const { directory, remove } = writePolicies({ 'rules.yaml': 'rules: []\n' });
    const beside = loadBundle(directory, context);
    assert.ok(beside.fileDigests.has('rules.yaml'));
    rmSync(join(directory, 'rules.yaml'));
    const without = loadBundle(directory, context);
    assert.deepEqual([without.rules.rules, without.fileDigests.has('rules.yaml')], [[], false]);
    assert.notEqual(without.digest, beside.digest);
    writeFileSync(join(directory, 'rules.yaml'), 'rules:\n  - { name: a, effect: deny }\n');
    assert.deepEqual(loadBundle(directory, context).lines.rules, [2]);
    remove();
  });
});
