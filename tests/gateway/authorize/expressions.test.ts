import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ConfigurationError, formatFinding, type Finding } from '../../../core/yaml-file.ts';
import { checkExpression } from '../../../gateway/authorize/cel/check-expression.ts';
import { createCelEnvironment } from '../../../gateway/authorize/cel/environment.ts';
import { longestList, variables } from '../../../gateway/authorize/cel/vocabulary.ts';
import {
  compileRoles,
  compileRules,
  decide,
  evaluationRequest,
  rolesSchema,
  rulesSchema,
} from '../../../gateway/authorize/index.ts';
import { loadBundle } from '../../../gateway/policies/bundle.ts';
import { context, writePolicies } from '../policies/policy-directory.ts';
import { principalWith, requestWith, routeWith, type RequestParts } from '../parsed-request.ts';

const environment = createCelEnvironment();

describe('an expression of rules.yaml', () => {
  const refusals: [expression: string, word: string, code: string, suggestion?: string][] = [
    ['principl.subject == "x"', 'principl', 'cel_unknown_variable', 'principal'],
    ['true || request.max_tokns > 1', 'max_tokns', 'cel_unknown_field', 'max_tokens'],
    ['request.foo.bar == 1', 'foo', 'cel_unknown_field'],
    ['has(principal.clams)', 'clams', 'cel_unknown_field', 'claims'],
    ['principal.roles.exists(r, rr == "x")', 'rr', 'cel_unknown_variable'],
    ['request.model.startWith("a")', 'startWith', 'cel_unknown_function', 'startsWith'],
    ['siz(principal.roles) > 1', 'siz', 'cel_unknown_function', 'size'],
    ['request.model.startsWith(1)', 'startsWith', 'cel_type'],
    ['request.max_tokens > "a"', 'request.max_tokens > "a"', 'cel_type'],
    ['principal.roles == "admin"', 'principal.roles == "admin"', 'cel_type'],
    ['request.model', 'request.model', 'cel_not_bool'],
    ['principal.claims.admin', 'principal.claims.admin', 'cel_not_bool'],
    ['request.model = "x"', '=', 'cel_syntax'],
    ['request.model == "x', '"x', 'cel_syntax'],
    ['request.model.matches("^(a+)+$")', 'matches', 'cel_refused', 'rematch'],
    ['principal.claims.email.matches("x")', 'matches', 'cel_refused', 'rematch'],
    ['principal.roles.all(r, r.matches("x"))', 'matches', 'cel_refused', 'rematch'],
    ['principal.roles.exists(a, principal.groups.exists(b, a == b))', 'exists', 'cel_refused'],
    ['principal.roles.map(a, principal.groups.filter(b, a == b)).size() > 1', 'filter', 'cel_refused'],
    ['cel.bind(a, "x", cel.bind(b, a + a, b == "xx"))', 'bind', 'cel_refused'],
    ['request.model.rematch("(")', '"("', 'cel_literal'],
    ['request.model.rematch(principal.subject)', 'principal.subject', 'cel_literal'],
    ['environment.caller_address.in_network("10.0.0.0/33")', '"10.0.0.0/33"', 'cel_literal'],
    ['environment.caller_address.in_network(principal.subject)', 'principal.subject', 'cel_literal'],
    ['environment.now > timestamp("yesterday")', '"yesterday"', 'cel_literal'],
    ['duration("5 minutes") > duration("1h")', '"5 minutes"', 'cel_literal'],
    ['environment.now.getHours("Europe/Berln") > 8', '"Europe/Berln"', 'cel_literal'],
  ];
  for (const [expression, word, code, suggestion] of refusals) {
    it(`is refused: ${expression}`, () => {
      const [fault] = checkExpression(expression, environment);
      assert.ok(fault);
      assert.deepEqual(
        [fault.code, fault.suggestion, expression.slice(fault.range.start, fault.range.end)],
        [code, suggestion, word],
      );
    });
  }

  const accepted = [
    'request.model in ["a", "b"]',
    '"LLM.User" in principal.roles && request.max_tokens < 100',
    'principal.roles.exists(r, r.startsWith("LLM."))',
    'has(principal.authenticated_at) && environment.now - principal.authenticated_at < duration("15m")',
    'request.model.rematch("^(a+)+$")',
    '!environment.caller_address.in_network("10.0.0.0/8")',
    'environment.now.getHours("Europe/Berlin") >= 8',
    'has(principal.claims.plan) && principal.claims.plan == "paid"',
  ];
  for (const expression of accepted)
    it(`is accepted: ${expression}`, () => {
      assert.deepEqual(checkExpression(expression, environment), []);
    });

  it('is refused when it is too long or too deep, without a crash', () => {
    for (const expression of [
      `${'('.repeat(5_000)}true${')'.repeat(5_000)}`,
      Array.from({ length: 600 }, () => 'true').join(' && '),
      `${'!'.repeat(2_000)}true`,
    ])
      assert.equal(checkExpression(expression, environment).length, 1);
  });

  it('names every variable and member when a letter is left out, and where', () => {
    for (const [variable, members] of Object.entries(variables)) {
      for (const member of Object.keys(members)) {
        if (member.length < 5) continue; // A slip in `amr` may as well be `acr`.
        const wrong = member.slice(0, -2) + member.slice(-1);
        const [fault] = checkExpression(`${variable}.${wrong} == ${variable}.${wrong}`, environment);
        assert.deepEqual(
          [fault?.suggestion, fault?.range.start, fault?.range.end],
          [member, variable.length + 1, variable.length + 1 + wrong.length],
        );
      }
      const [fault] = checkExpression(`${variable.slice(1)}.x == 1`, environment);
      assert.deepEqual([fault?.suggestion, fault?.range.start], [variable, 0]);
    }
  });
});

function findingOf(rules: string): Finding {
  const { directory, remove } = writePolicies({ 'rules.yaml': rules });
  try {
    loadBundle(directory, context);
  } catch (error) {
    assert.ok(error instanceof ConfigurationError, String(error));
    const [finding] = error.findings;
    assert.ok(finding);
    return { ...finding, file: 'rules.yaml' };
  } finally {
    remove();
  }
  return assert.fail('nothing was found');
}

describe('a typo in an expression is found at its word', () => {
  const head = 'rules:\n  - name: one\n    effect: deny\n';
  const writings: [what: string, lines: string][] = [
    ['in plain text', '    when: request.model == "a" && principl.subject == "b"\n'],
    ['in single quotes', `    when: 'request.model == ''a'' && principl.subject == ''b'''\n`],
    ['in double quotes', '    when: "request.model == \\"a\\u0041\\" && principl.subject == \\"b\\""\n'],
    [
      'in a literal block',
      '    when: |\n      request.model == "a"\n        &&\n      principl.subject == "b"\n',
    ],
    [
      'in a folded block',
      '    when: >-\n      request.model == "a"\n      && principl.subject\n      == "b"\n',
    ],
    [
      'in a folded block with a comment',
      '    when: >- # why\n\n      request.model == "a" &&\n\n      principl.subject == "b"\n',
    ],
    ['in plain text over two lines', '    when: request.model == "a"\n      && principl.subject == "b"\n'],
    ['in double quotes over two lines', '    when: "true &&\\\n      \\  principl.subject == \'b\'"\n'],
  ];
  for (const [what, lines] of writings) {
    it(what, () => {
      const source = head + lines;
      const rows = source.split('\n');
      const row = rows.findIndex((each) => each.includes('principl'));
      const column = (rows[row] ?? '').indexOf('principl') + 1;
      const finding = findingOf(source);
      assert.deepEqual([finding.line, finding.column, finding.endColumn], [row + 1, column, column + 8]);
      assert.equal(
        formatFinding(finding),
        `rules.yaml:${row + 1}:${column} rules.0.when: there is no "principl" here; did you mean "principal"?`,
      );
    });
  }

  it('in flow style', () => {
    const finding = findingOf(`rules:\n  - { name: one, effect: deny, when: 'principl.subject == "b"' }\n`);
    assert.deepEqual([finding.line, finding.column, finding.endColumn], [2, 39, 47]);
  });
});

describe('an expression on a request', () => {
  const decided = (
    when: string,
    change: Partial<RequestParts> & { who?: Parameters<typeof principalWith>[0] } = {},
  ): string => {
    assert.deepEqual(checkExpression(when, environment), []);
    const { who = {}, ...parts } = change;
    const request = requestWith({
      route: routeWith({ name: 'chat', action: 'chat.completions.create' }),
      principal: principalWith({ roles: ['User'], ...who }),
      model: 'm',
      models: ['m'],
      authorization: compileRoles(
        rolesSchema.parse({ roles: { User: { permits: ['chat.completions.create'], models: ['*'] } } }),
        ['m'],
      ),
      rules: compileRules(rulesSchema.parse({ rules: [{ name: 'one', effect: 'deny', when }] })),
      ...parts,
    });
    return decide(evaluationRequest(request, 'm'), request.snapshot).code;
  };

  const matching = [
    'request.route == "chat" && request.action == "chat.completions.create" && request.model == "m"',
    'resource.type == "model" && resource.id == "m" && resource.upstream == "embedded"',
    'environment.caller_address == "192.0.2.7" && environment.caller_address.in_network("192.0.2.0/24")',
    'environment.now == timestamp("2026-01-07T12:00:00Z")',
    'environment.now.getHours("Europe/Berlin") == 13',
    'principal.subject == "alice" && principal.client_id == "cli" && principal.tenant_id == ""',
    'principal.roles == ["User"] && principal.groups.size() == 0',
    '!has(principal.authenticated_at) && principal.acr == ""',
    'request.max_tokens == 0 && request.n == 1 && !request.stream && request.message_count == 0',
  ];
  for (const when of matching) it(`sees ${when}`, () => assert.equal(decided(when), 'when_matched'));

  it('sees the highest spelling of max_tokens, and counts', () => {
    const json = {
      max_tokens: 3,
      max_length: 9,
      n: 2,
      stream: true,
      messages: [{}, {}],
      tools: [{}],
      prompt: [1, 2, 3],
      input: ['a', 'b'],
    };
    const when =
      'request.max_tokens == 9 && request.n == 2 && request.stream && request.message_count == 2 && request.tool_count == 1 && request.prompt_count == 3';
    assert.equal(decided(when, { body: json }), 'when_matched');
  });

  it('sees header fields, but none that carries credentials', () => {
    const headers = { 'x-team': 'a', authorization: 'Bearer x', 'api-key': 'x', cookie: 'x', dpop: 'x' };
    const shown = 'request.headers["x-team"] == "a" && request.headers.size() == 1';
    assert.equal(decided(shown, { headers }), 'when_matched');
    assert.equal(decided('request.headers["x-team"] == "a"', { headers: {} }), 'when_failed');
    assert.equal(decided('"x-team" in request.headers', { headers: {} }), 'role_permits');
  });

  const failing: [what: string, when: string, who?: Parameters<typeof principalWith>[0]][] = [
    ['a claim that is not there', 'principal.claims.plan != "paid"'],
    ['a member that is inherited by every object', 'principal.claims.constructor != "x"'],
    ['a claim of another type', 'principal.claims.level > 3', { claims: { level: 'high' } }],
    ['text of a claim that is none', 'principal.claims.mail.rematch("x")', { claims: { mail: 7 } }],
    ['a sign-in that is not stated', 'principal.authenticated_at > timestamp("2026-01-01T00:00:00Z")'],
    ['an index beyond the list', 'principal.amr[0] == "mfa"'],
    [
      'a list that is too long to be walked',
      '"z" in principal.groups',
      { groups: Array.from({ length: longestList + 1 }, (_, index) => `g${index}`) },
    ],
  ];
  for (const [what, when, who] of failing)
    it(`that fails denies: ${what}`, () => {
      assert.equal(decided(when, who === undefined ? {} : { who }), 'when_failed');
    });

  it('searches hostile text in linear time', () => {
    const mail = `${'a'.repeat(20_000)}!`;
    assert.equal(
      decided('principal.claims.mail.rematch("^(a+)+$")', { who: { claims: { mail } } }),
      'role_permits',
    );
  });
});
