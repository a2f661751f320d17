// The attack suite, tokens: every bad token in every place where a token is read, against the whole gateway. None may
// reach an upstream, none may crash anything, each is refused with the right status and challenge and recorded once.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startTestGateway, type TestGateway } from '../support/start-gateway.ts';
import { auditRecordsOf, auditText } from './audit-records.ts';
import { badTokens } from './bad-tokens.ts';
import { sendRaw, type RawAnswer } from './raw-connection.ts';

let gateway: TestGateway;
let good: string;

before(async () => {
  gateway = await startTestGateway();
  good = await gateway.mint();
});
after(() => gateway.close());

const body = '{"model":"tiny-gpt2","messages":[{"role":"user","content":"hello"}]}';
const azure = '/openai/deployments/tiny-gpt2/chat/completions?api-version=2024-10-21';

/** Where a token is read: request line and credential field. */
const carriers: Readonly<Record<string, readonly [line: string, field: string]>> = {
  'Authorization at /v1': ['POST /v1/chat/completions', 'Authorization: Bearer '],
  'Authorization at the Azure path': [`POST ${azure}`, 'Authorization: Bearer '],
  'api-key at the Azure path': [`POST ${azure}`, 'api-key: '],
  'Authorization at the admin path': ['GET /admin/users', 'authorization: bearer '],
  'Authorization at the list of models': ['GET /v1/models', 'AUTHORIZATION: BEARER '],
  'Authorization at /generate': ['POST /generate', 'Authorization: Bearer '],
};

function request(line: string, fields: readonly string[]): string {
  const content = line.startsWith('POST') ? body : '';
  const framing =
    content === '' ? [] : ['Content-Type: application/json', `Content-Length: ${content.length}`];
  return [`${line} HTTP/1.1`, 'Host: localhost', ...framing, ...fields, '', content].join('\r\n');
}

async function one(bytes: string): Promise<RawAnswer> {
  const { answers, text } = await sendRaw(bytes, { port: gateway.port, until: 1 });
  const [answer] = answers;
  assert.ok(answer, `no answer: ${text.slice(0, 200)}`);
  assert.doesNotMatch(answer.body, /\bat .*\(|node:internal|node_modules|Error:/);
  return answer;
}

describe('a bad token', () => {
  for (const [place, [line, field]] of Object.entries(carriers)) {
    it(`opens nothing as ${place}`, async () => {
      const tokens = badTokens(gateway.issuer, good);
      const answers: RawAnswer[] = [];
      for (const [title, accessToken] of tokens) {
        const answer = await one(request(line, [field + accessToken]));
        // A field that is no b64token is malformed (400); a head over the limit is too large.
        const expected = /^[\w.~+/-]+=*$/.test(accessToken) ? 401 : 400;
        assert.equal(answer.status, expected, `${title}: ${answer.body}`);
        assert.match(answer.head, /www-authenticate: Bearer .*error="invalid_(token|request)"/i, title);
        assert.match(answer.head, /cache-control: no-store/i, title);
        if (accessToken.length > 40) assert.ok(!(answer.head + answer.body).includes(accessToken), title);
        answers.push(answer);
      }
      assert.equal(gateway.upstream.requests.length, 0);
      // One record each, and every 401 with its reason.
      const records = await auditRecordsOf(gateway, answers);
      assert.equal(records.length, tokens.length);
      assert.ok(records.every(({ code, reason }) => code !== 'ok' && typeof reason === 'string'));
      assert.ok(records.every(({ principal }) => principal === null));
    });
  }
  it('says the same whatever is wrong with it', async () => {
    const bodies = new Set<string>();
    for (const [, accessToken] of badTokens(gateway.issuer, good).slice(0, 120)) {
      const answer = await one(
        request('POST /v1/chat/completions', [`Authorization: Bearer ${accessToken}`]),
      );
      if (answer.status === 401) bodies.add(answer.body);
    }
    assert.equal(bodies.size, 1);
  });
  it('leaves no text of a token in the audit log', () => {
    const written = auditText(gateway);
    assert.ok(!written.includes(good));
    for (const [title, accessToken] of badTokens(gateway.issuer, good)) {
      if (accessToken.length > 40) assert.ok(!written.includes(accessToken.slice(0, 40)), title);
    }
  });
  it('made the issuer fetch nothing but its two documents', () => {
    assert.equal(gateway.issuer.requests.other, 0);
    assert.ok(gateway.issuer.requests.jwks <= 3, `${gateway.issuer.requests.jwks} fetches`);
  });
});

describe('a good token', () => {
  const misplaced: readonly (readonly [
    title: string,
    line: string,
    fields: (t: string) => string[],
    status: number,
  ])[] = [
    ['in X-API-Key', 'POST /v1/chat/completions', (t) => [`X-API-Key: ${t}`], 401],
    ['in api-key at /v1', 'POST /v1/chat/completions', (t) => [`api-key: ${t}`], 401],
    ['in Proxy-Authorization', 'POST /v1/chat/completions', (t) => [`Proxy-Authorization: Bearer ${t}`], 401],
    ['in a cookie', 'POST /v1/chat/completions', (t) => [`Cookie: access_token=${t}; token=${t}`], 401],
    [
      'in X-Forwarded-Access-Token',
      'POST /v1/chat/completions',
      (t) => [`X-Forwarded-Access-Token: ${t}`],
      401,
    ],
    ['in Sallyport-Assertion', 'POST /v1/chat/completions', (t) => [`Sallyport-Assertion: ${t}`], 401],
    ['as Basic', 'POST /v1/chat/completions', (t) => [`Authorization: Basic ${t}`], 401],
    ['as DPoP', 'POST /v1/chat/completions', (t) => [`Authorization: DPoP ${t}`], 401],
    ['as Token', 'POST /v1/chat/completions', (t) => [`Authorization: Token ${t}`], 401],
    ['without a scheme', 'POST /v1/chat/completions', (t) => [`Authorization: ${t}`], 401],
    [
      'with a tab behind the scheme',
      'POST /v1/chat/completions',
      (t) => [`Authorization: Bearer\t${t}`],
      400,
    ],
    ['in quotes', 'POST /v1/chat/completions', (t) => [`Authorization: Bearer "${t}"`], 400],
    ['as parameter', 'POST /v1/chat/completions', (t) => [`Authorization: Bearer token=${t}`], 400],
    [
      'twice in one field',
      'POST /v1/chat/completions',
      (t) => [`Authorization: Bearer ${t}, Bearer ${t}`],
      400,
    ],
    ['twice behind one scheme', 'POST /v1/chat/completions', (t) => [`Authorization: Bearer ${t} ${t}`], 400],
    [
      'in two fields',
      'POST /v1/chat/completions',
      (t) => [`Authorization: Bearer ${t}`, `authorization: Bearer ${t}`],
      400,
    ],
    [
      'behind Basic in another field',
      'POST /v1/chat/completions',
      (t) => ['Authorization: Basic eDp5', `Authorization: Bearer ${t}`],
      400,
    ],
    [
      'behind an empty field',
      'POST /v1/chat/completions',
      (t) => ['Authorization:', `Authorization: Bearer ${t}`],
      400,
    ],
    ['with api-key beside', `POST ${azure}`, (t) => [`Authorization: Bearer ${t}`, `api-key: ${t}`], 400],
    ['with a bad api-key beside', `POST ${azure}`, (t) => [`Authorization: Bearer ${t}`, 'api-key: x'], 400],
    [
      'in api-key with a bad Authorization',
      `POST ${azure}`,
      (t) => ['Authorization: Bearer x', `api-key: ${t}`],
      400,
    ],
    [
      'in api-key with an empty Authorization',
      `POST ${azure}`,
      (t) => ['Authorization:', `api-key: ${t}`],
      400,
    ],
    ['in api-key with Basic', `POST ${azure}`, (t) => ['Authorization: Basic eDp5', `api-key: ${t}`], 400],
    ['in two api-key fields', `POST ${azure}`, (t) => [`api-key: ${t}`, `API-Key: ${t}`], 400],
    ['in api-key with the scheme', `POST ${azure}`, (t) => [`api-key: Bearer ${t}`], 400],
    ['in api-key, as a list', `POST ${azure}`, (t) => [`api-key: ${t},${t}`], 400],
    ['in api_key', `POST ${azure}`, (t) => [`api_key: ${t}`], 400],
    ['in Ocp-Apim-Subscription-Key', `POST ${azure}`, (t) => [`Ocp-Apim-Subscription-Key: ${t}`], 401],
    ['in the query', 'POST /v1/chat/completions?access_token={t}', () => [], 400],
    ['in the query in capitals', 'POST /v1/chat/completions?ACCESS_TOKEN={t}', () => [], 400],
    ['in the query, escaped', 'POST /v1/chat/completions?access%5Ftoken={t}', () => [], 400],
    [
      'in the query beside a header',
      'POST /v1/chat/completions?a=b&access_token={t}',
      (t) => [`Authorization: Bearer ${t}`],
      400,
    ],
    ['in the query as token', 'POST /v1/chat/completions?token={t}', () => [], 401],
    ['in the query as api-key', `POST ${azure}&api-key={t}`, () => [], 401],
    ['in the query with a broken escape', 'POST /v1/chat/completions?%zz&access_token={t}', () => [], 400],
    ['in the path', 'POST /v1/{t}/chat/completions', () => [], 404],
  ];
  for (const [title, line, fields, status] of misplaced) {
    it(`opens nothing ${title}`, async () => {
      const seen = gateway.upstream.requests.length;
      const answer = await one(request(line.replace('{t}', good), fields(good)));
      assert.equal(answer.status, status, answer.body);
      assert.equal(gateway.upstream.requests.length, seen);
      assert.ok(!answer.body.includes(good));
    });
  }
  it('still opens the door after all that, everywhere', async () => {
    for (const [place, [line, field]] of Object.entries(carriers)) {
      if (place.includes('admin')) continue;
      const content = line.includes('/generate') ? 'generate' : 'chat';
      if (content === 'generate') continue;
      const answer = await one(request(line, [field + good]));
      assert.equal(answer.status, 200, `${place}: ${answer.body}`);
    }
  });
});

describe('roles in a token', () => {
  const cases: readonly (readonly [title: string, claims: Record<string, unknown>])[] = [
    ['no roles', { roles: undefined }],
    ['an empty list', { roles: [] }],
    ['an unknown role', { roles: ['LLM.Root'] }],
    ['the right role in other letters', { roles: ['llm.user'] }],
    ['the right role with a blank', { roles: ['LLM.User '] }],
    ['roles joined in one text', { roles: ['LLM.User LLM.Admin'] }],
    ['a role of the prototype', { roles: ['__proto__', 'constructor', 'toString'] }],
    ['a wildcard', { roles: ['*', 'LLM.*'] }],
    ['roles as object', { roles: { 'LLM.User': true } }],
    ['roles nested', { roles: [['LLM.User']] }],
  ];
  for (const [title, claims] of cases) {
    it(`permit nothing: ${title}`, async () => {
      const accessToken = await gateway.mint(claims);
      const seen = gateway.upstream.requests.length;
      for (const line of ['POST /v1/chat/completions', `POST ${azure}`, 'GET /admin/users']) {
        const answer = await one(request(line, [`Authorization: Bearer ${accessToken}`]));
        assert.ok([401, 403].includes(answer.status), `${line}: ${answer.status} ${answer.body}`);
      }
      assert.equal(gateway.upstream.requests.length, seen);
    });
  }
  for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS', 'TRACE']) {
    it(`of a user open no admin function by ${method}`, async () => {
      const { answers, text } = await sendRaw(
        `${method} /admin/users HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${good}\r\nX-Forwarded-User: admin\r\nX-Roles: LLM.Admin\r\nConnection: close\r\n\r\n`,
        { port: gateway.port },
      );
      const status = answers[0]?.status ?? Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1]);
      assert.equal(status, method === 'GET' ? 403 : 405);
    });
  }
  it('without the scope are answered with 403 and the scope, not with 401', async () => {
    for (const scp of ['', 'LLM.Accessx', 'llm.access', 'LLM', 'openid']) {
      const accessToken = await gateway.mint({ scp });
      const answer = await one(
        request('POST /v1/chat/completions', [`Authorization: Bearer ${accessToken}`]),
      );
      assert.equal(answer.status, 403, scp);
      assert.match(answer.head, /error="insufficient_scope"/);
    }
  });
});
