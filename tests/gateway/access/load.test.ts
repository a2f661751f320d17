// What access.yaml, and what roles, rules and routes say about it, may not say.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ConfigurationError, formatFinding } from '../../../core/yaml-file.ts';
import { loadBundle, type Bundle } from '../../../gateway/policies/bundle.ts';
import { context, edited, goodFiles, writePolicies } from '../policies/policy-directory.ts';

const access = `resource_types:
  document: { actions: [can_read, can_write], resources: { '1': { owner: alice } } }
subject_types:
  employee: { subjects: { alice: { roles: [LLM.User] } } }
`;
const decision =
  '  ask: { path: /access/v1/evaluation, methods: [POST], kind: decision, action: access.evaluate, limits: [requests] }\n';
const withRoute = (from: string, to: string): Record<string, string> => {
  if (!decision.includes(from)) throw new Error(`the route does not hold ${from}`);
  return { 'routes.yaml': `${goodFiles['routes.yaml'] ?? ''}${decision.replace(from, to)}` };
};
const permits = (more: string): Record<string, string> =>
  edited(
    'roles.yaml',
    '[models.list, chat.completions.create]',
    `[models.list, chat.completions.create, ${more}]`,
  );
const rule = (members: string): Record<string, string> => ({
  'rules.yaml': `rules:\n  - { name: one, ${members} }\n`,
});

function load(changes: Readonly<Record<string, string | null>>): Bundle | string[] {
  const { directory, remove } = writePolicies({ 'access.yaml': access, ...changes });
  try {
    return loadBundle(directory, context);
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    return error.findings.map((finding) =>
      formatFinding({ ...finding, file: finding.file.replace(`${directory}/`, '') }),
    );
  } finally {
    remove();
  }
}

describe('access.yaml', () => {
  it('may be left out', () => {
    assert.ok(!Array.isArray(load({ 'access.yaml': null })));
  });
  it('makes its actions and types known to roles and rules', () => {
    const good = [
      permits('can_read'),
      edited('roles.yaml', 'models: [tiny-gpt2]', "models: [tiny-gpt2]\n    resources: ['document:1*']"),
      rule("effect: permit, actions: [can_write], resources: ['document:*'], roles: [LLM.User]"),
      withRoute('', ''),
      { ...withRoute('', ''), ...permits('access.explain') },
    ];
    for (const changes of good) assert.ok(!Array.isArray(load(changes)), JSON.stringify(load(changes)));
  });

  const faults: readonly (readonly [string, Record<string, string>, string])[] = [
    [
      'an action of a role with a typo',
      permits('can_raed'),
      'there is no route with the action "can_raed"; did you mean "can_read"?',
    ],
    [
      'access.explain where nobody can ask',
      permits('access.explain'),
      'there is no route with the action "access.explain"',
    ],
    [
      'an action of a rule with a typo',
      rule("effect: permit, actions: [can_writ], resources: ['document:*'], roles: [LLM.User]"),
      'did you mean "can_write"?',
    ],
    [
      'a resource type of a role with a typo',
      edited('roles.yaml', 'models: [tiny-gpt2]', "resources: ['documnt:*']"),
      'there is no resource type in access.yaml "documnt"; did you mean "document"?',
    ],
    [
      'a resource type of a rule with a typo',
      rule("effect: deny, resources: ['documents:1']"),
      'did you mean "document"?',
    ],
    ['a resource without a type', rule("effect: deny, resources: ['*']"), 'resources are a type and an id'],
    ['a resource of every type', rule("effect: deny, resources: ['*:1']"), 'resources are a type and an id'],
    [
      'a model as resource of a rule',
      rule("effect: deny, resources: ['model:tiny-gpt2']"),
      'there is no resource type in access.yaml "model"',
    ],
    [
      'a role of a subject with a typo',
      { 'access.yaml': access.replace('LLM.User', 'LLM.Usr') },
      'there is no role "LLM.Usr"; did you mean "LLM.User"?',
    ],
    [
      'a type of its own for models',
      { 'access.yaml': access.replace('document:', 'model:') },
      'the gateway has resources of this type itself',
    ],
    [
      'a type of its own for principals',
      { 'access.yaml': access.replace('employee:', 'principal:') },
      'the gateway has subjects of this type itself',
    ],
    [
      'a type without actions',
      { 'access.yaml': access.replace('[can_read, can_write]', '[]') },
      'the list is empty',
    ],
    [
      'a pattern for an action',
      { 'access.yaml': access.replace('can_read,', "'can_*',") },
      'an action is a word such as can_read',
    ],
    [
      'an unknown key',
      { 'access.yaml': access.replace('subject_types', 'subject_type') },
      'did you mean "subject_types"?',
    ],
    [
      'a subject with separated duties',
      {
        'access.yaml': access.replace('[LLM.User]', '[LLM.User, Other]'),
        'roles.yaml': `${goodFiles['roles.yaml']?.replace('assignments:', '  Other: {}\nassignments:') ?? ''}separation_of_duties: [[LLM.User, Other]]\n`,
      },
      'the subject joins the separated duties LLM.User and Other',
    ],
    [
      'a rule about models and resources',
      rule("effect: deny, models: ['*'], resources: ['document:1']"),
      'a rule is about models or about resources of other services',
    ],
    [
      'obligations on resources of other services',
      rule(
        "effect: permit, actions: [can_read], resources: ['document:1'], roles: [LLM.User], obligations: { limits: [requests] }",
      ),
      'obligations bind requests to the gateway',
    ],
    [
      'a misspelt member of action in an expression',
      rule('effect: deny, when: action.nam == "can_read"'),
      'did you mean "name"?',
    ],
    [
      'a decision route on another path',
      withRoute('/access/v1/evaluation', '/access/v1/evaluate'),
      'a route of kind decision ends in /access/v1/',
    ],
    [
      'a decision route that reads',
      withRoute('[POST]', '[GET, POST]'),
      'a route of kind decision answers POST only',
    ],
    [
      'a decision route without a limit',
      withRoute(', limits: [requests]', ''),
      'a route of kind decision needs a limit',
    ],
    [
      'a decision route that is open to anybody',
      withRoute('limits:', 'anonymous: true, limits:'),
      'a route of kind decision needs a caller',
    ],
    [
      'a decision route with guards',
      withRoute('limits:', 'guards: [words], limits:'),
      'a route of kind decision sends nothing there',
    ],
    [
      'a decision route with an upstream',
      withRoute('limits:', 'upstream: accounts, limits:'),
      'only routes of kind http name an upstream',
    ],
  ];
  for (const [what, changes, message] of faults) {
    it(`refuses ${what}`, () => {
      const found = load(changes);
      assert.ok(Array.isArray(found), 'it was accepted');
      assert.ok(
        found.some((line) => line.includes(message)),
        found.join('\n'),
      );
    });
  }
});
