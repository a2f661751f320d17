import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ConfigurationError, formatFinding } from '../../../core/yaml-file.ts';
import { loadBundle } from '../../../gateway/policies/bundle.ts';
import { context, goodFiles, writePolicies } from './policy-directory.ts';

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
const ruleLines = (obligations: string, rest = 'actions: [chat.completions.create]'): string[] =>
  linesOf({ 'rules.yaml': `rules:\n  - { name: a, obligations: ${obligations}, ${rest} }\n` });

describe('obligations are refused for', () => {
  const refusals: [what: string, obligations: string, line: string, rest?: string][] = [
    [
      'an unknown limit',
      '{ limits: [request] }',
      'rules.yaml:2:40 rules.0.obligations.limits.0: there is no limit "request"; did you mean "requests"?',
    ],
    [
      'an unknown guard',
      '{ guards: [wrds] }',
      'rules.yaml:2:40 rules.0.obligations.guards.0: there is no guard "wrds"; did you mean "words"?',
    ],
    [
      'nothing at all',
      '{}',
      'rules.yaml:2:16 rules.0.obligations: obligations name limits, guards, ceilings, system_message or upstream_headers',
    ],
    ['an empty list', '{ limits: [] }', 'rules.yaml:2:31 rules.0.obligations.limits: the list is empty'],
    [
      'a misspelt key',
      '{ limit: [requests] }',
      'rules.yaml:2:31 rules.0.obligations.limit: unknown key "limit"; did you mean "limits"?',
    ],
    [
      'ceilings without one',
      '{ ceilings: {} }',
      'rules.yaml:2:31 rules.0.obligations.ceilings: ceilings name at least one parameter',
    ],
    [
      'a ceiling of nothing that we know',
      '{ ceilings: { max_token: 5 } }',
      'rules.yaml:2:43 rules.0.obligations.ceilings.max_token: unknown key "max_token"; did you mean "max_tokens"?',
    ],
    [
      'a ceiling below zero',
      '{ ceilings: { n: -1 } }',
      'rules.yaml:2:43 rules.0.obligations.ceilings.n: Too small: expected number to be >=0',
    ],
    [
      'an empty system message',
      "{ system_message: ' ' }",
      'rules.yaml:2:31 rules.0.obligations.system_message: a system message is not empty',
    ],
    [
      'a system message for prompts',
      '{ system_message: x }',
      'rules.yaml:2:62 rules.0.actions.0: a system message needs messages, and the route models has none',
      'actions: [models.list]',
    ],
    [
      'a system message without actions',
      '{ system_message: x }',
      'rules.yaml:2:16 rules.0.obligations: name the actions of this rule: a system message needs messages, and the route models has none',
      'roles: [LLM.User]',
    ],
    [
      'a system message for a pattern that reaches further',
      '{ system_message: x }',
      'rules.yaml:2:62 rules.0.actions.0: a system message needs messages, and the route models has none',
      "actions: ['*']",
    ],
    [
      'ceilings on a route whose body is not read',
      '{ ceilings: { n: 1 } }',
      'rules.yaml:2:63 rules.0.actions.0: guards and ceilings read the body, which the route users of kind http does not',
      'actions: [admin.*]',
    ],
    [
      'guards without actions',
      '{ guards: [words] }',
      'rules.yaml:2:16 rules.0.obligations: name the actions of this rule: guards and ceilings read the body, which the route users of kind http does not',
      'roles: [LLM.User]',
    ],
    [
      'a deny',
      '{ limits: [requests] }',
      'rules.yaml:2:16 rules.0.obligations: a deny rule permits nothing that could be bound; leave effect out to bind what others permit',
      'effect: deny',
    ],
    [
      'a header that is a credential',
      '{ upstream_headers: { authorization: x } }',
      'rules.yaml:2:51 rules.0.obligations.upstream_headers.authorization: a header for the upstream is named x-…, in lower-case letters, digits and hyphens',
    ],
    [
      'a hop-by-hop header',
      '{ upstream_headers: { connection: x } }',
      'rules.yaml:2:51 rules.0.obligations.upstream_headers.connection: a header for the upstream is named x-…, in lower-case letters, digits and hyphens',
    ],
    [
      'a header that frames',
      '{ upstream_headers: { content-length: "1" } }',
      'rules.yaml:2:51 rules.0.obligations.upstream_headers.content-length: a header for the upstream is named x-…, in lower-case letters, digits and hyphens',
    ],
    [
      'our assertion',
      '{ upstream_headers: { sallyport-assertion: x } }',
      'rules.yaml:2:51 rules.0.obligations.upstream_headers.sallyport-assertion: a header for the upstream is named x-…, in lower-case letters, digits and hyphens',
    ],
    [
      'capital letters',
      '{ upstream_headers: { X-Team: x } }',
      'rules.yaml:2:51 rules.0.obligations.upstream_headers.X-Team: a header for the upstream is named x-…, in lower-case letters, digits and hyphens',
    ],
    ...[
      'x-forwarded-for',
      'x-real-ip',
      'x-request-id',
      'x-api-key',
      'x-auth-token',
      'x-http-method-override',
      'x-original-url',
      'x-envoy-peer',
      'x-ms-client-principal',
      'x-amz-security-token',
    ].map((name): [string, string, string] => [
      name,
      `{ upstream_headers: { ${name}: x } }`,
      `rules.yaml:2:51 rules.0.obligations.upstream_headers.${name}: this name is reserved for credentials or for proxies`,
    ]),
    [
      'a line break in a value',
      '{ upstream_headers: { x-team: "a\\r\\nb: c" } }',
      'rules.yaml:2:51 rules.0.obligations.upstream_headers.x-team: a value is printable ASCII, up to 256 characters',
    ],
    [
      'a value that ends with a blank',
      "{ upstream_headers: { x-team: 'a ' } }",
      'rules.yaml:2:51 rules.0.obligations.upstream_headers.x-team: a value is printable ASCII, up to 256 characters',
    ],
    [
      'other letters than ASCII',
      '{ upstream_headers: { x-team: ä } }',
      'rules.yaml:2:51 rules.0.obligations.upstream_headers.x-team: a value is printable ASCII, up to 256 characters',
    ],
    [
      'a number for a value',
      '{ upstream_headers: { x-team: 3 } }',
      'rules.yaml:2:51 rules.0.obligations.upstream_headers.x-team: expected text or a mapping, found a number',
    ],
    [
      'another value of the principal',
      '{ upstream_headers: { x-team: { from: roles } } }',
      'rules.yaml:2:61 rules.0.obligations.upstream_headers.x-team.from: expected one of subject, client_id, tenant_id, issuer',
    ],
  ];
  for (const [what, obligations, line, rest] of refusals)
    it(what, () => {
      assert.deepEqual(ruleLines(obligations, rest), [line]);
    });
});

describe('obligations', () => {
  it('are accepted in every kind, on a rule without effect and on a permit', () => {
    const obligations =
      '{ limits: [requests], guards: [words], ceilings: { max_tokens: 5 }, system_message: x, upstream_headers: { x-team: a, x-caller: { from: subject } } }';
    assert.deepEqual(ruleLines(obligations), []);
    assert.deepEqual(
      ruleLines(obligations, 'effect: permit, actions: [chat.completions.create], roles: [LLM.User]'),
      [],
    );
  });

  it('make use of a limit and a guard that no route names', () => {
    const files = {
      'limits.yaml': `${goodFiles['limits.yaml'] ?? ''}  few: { by: principal, requests: 1, window: 1m }\n`,
      'guards.yaml': `${goodFiles['guards.yaml'] ?? ''}  extra: { kind: denied_words, words: [x] }\n`,
    };
    assert.deepEqual(linesOf(files), [
      'limits.yaml:4:3 limits.few: no route and no rule names this limit',
      'guards.yaml:4:3 guards.extra: no route and no rule names this guard',
    ]);
    const rule = '{ name: a, actions: [models.list], obligations: { limits: [few], guards: [extra] } }';
    assert.deepEqual(linesOf({ ...files, 'rules.yaml': `rules:\n  - ${rule}\n` }), []);
  });
});
