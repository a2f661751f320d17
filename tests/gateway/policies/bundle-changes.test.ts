import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { bundleChanges } from '../../../gateway/policies/bundle-changes.ts';
import { loadBundle } from '../../../gateway/policies/bundle.ts';
import { context, edited, goodFiles, writePolicies } from './policy-directory.ts';

function changes(
  files: Readonly<Record<string, string>>,
  before: Readonly<Record<string, string>> = {},
): readonly string[] {
  const [old, now] = [writePolicies(before), writePolicies({ ...before, ...files })];
  try {
    return bundleChanges(loadBundle(old.directory, context), loadBundle(now.directory, context));
  } finally {
    old.remove();
    now.remove();
  }
}

describe('the changes from one bundle to the next', () => {
  const cases: readonly [string, Readonly<Record<string, string>>, readonly string[]][] = [
    ['are none when only a comment differs', edited('roles.yaml', 'roles:', '# who may what\nroles:'), []],
    [
      'name models of a role',
      edited('roles.yaml', '[tiny-gpt2]', '[premium-*]'),
      ['role LLM.User: models +premium-* -tiny-gpt2'],
    ],
    [
      'name an added role',
      edited('roles.yaml', 'assignments:', '  LLM.Batch: { permits: [models.list] }\nassignments:'),
      ['role LLM.Batch added'],
    ],
    [
      'count assignments, whose subjects are people',
      edited('roles.yaml', 'groups: [readers]', "subjects: ['4711']"),
      ['roles.yaml: assignments 1 added 1 removed'],
    ],
    [
      'show numbers of a limit',
      edited('limits.yaml', 'requests: 60', 'requests: 6000'),
      ['limit requests: requests 60 → 6000'],
    ],
    [
      'do not show denied words',
      edited('guards.yaml', '[forbidden]', '[forbidden, unspeakable]'),
      ['guard words: words 1 added'],
    ],
    [
      'name a route that became open',
      edited(
        'routes.yaml',
        'action: admin.users.list, limits: [requests]',
        'action: admin.users.show, limits: []',
      ),
      ['route users: action admin.users.list → admin.users.show, limits -requests'],
    ],
    [
      'name clients of an issuer',
      edited('issuers.yaml', '[cli]', '[cli, notebook]'),
      ['issuer embedded: client_ids +notebook'],
    ],
    [
      'say that any client is accepted',
      edited('issuers.yaml', '[cli]', '{ any: true }'),
      ['issuer embedded: client_ids changed'],
    ],
  ];
  for (const [what, files, expected] of cases) {
    it(what, () => assert.deepEqual(changes(files), expected));
  }

  it('say of an expression only that it changed, and name rules that came, went and moved', () => {
    const rule = (name: string, when: string): string =>
      `  - { name: ${name}, effect: deny, when: ${when} }\n`;
    const before = {
      'rules.yaml': `rules:\n${rule('one', 'request.n > 1')}${rule('two', 'request.stream')}${rule('gone', 'request.stream')}`,
    };
    const now = {
      'rules.yaml': `rules:\n${rule('two', 'request.stream')}${rule('one', 'request.n > 2')}${rule('new', 'request.stream')}`,
    };
    assert.deepEqual(changes(now, before), [
      'rule new added',
      'rule gone removed',
      'rule one: when changed',
      'rules in another order',
    ]);
  });

  it('are bounded in number and length', () => {
    const many = Array.from(
      { length: 300 },
      (_, index) => `  role-${index}: { permits: [models.list] }\n`,
    ).join('');
    const found = changes(edited('roles.yaml', 'assignments:', `${many}assignments:`));
    assert.equal(found.length, 50);
    assert.equal(found.at(-1), 'and 251 more changes');
    const long = `[${Array.from({ length: 300 }, (_, index) => `premium-${index}*`).join(', ')}]`;
    const [change = ''] = changes(edited('roles.yaml', 'models: [tiny-gpt2]', `models: ${long}`));
    assert.ok(change.length <= 240 && change.endsWith('…'), change);
  });

  it('are none of a bundle and itself', () => {
    assert.deepEqual(changes({}, goodFiles), []);
  });
});
