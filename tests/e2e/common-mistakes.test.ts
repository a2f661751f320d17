// The mistakes that everybody makes once: the text of the exception that the openai client throws says what to do, and
// the page that the error links has the cause.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import OpenAI, { APIError } from 'openai';
import OpenAI6, { APIError as APIError6 } from 'openai-v6';
import { json } from '../support/fake-upstream.ts';
import { startTestGateway, type TestGateway } from '../support/start-gateway.ts';

let gateway: TestGateway;
before(async () => {
  gateway = await startTestGateway({
    edit: { 'limits.yaml': [['requests: 600', 'requests: 30']] },
    script: (request, socket) =>
      request.body.includes('too long')
        ? json(
            { error: { message: 'x', type: 'x', param: null, code: 'context_length_exceeded' } },
            { status: 400 },
          )(request, socket)
        : json({ choices: [] })(request, socket),
  });
});
after(() => gateway.close());

interface Mistake {
  readonly title: string;
  readonly claims?: Readonly<Record<string, unknown>>;
  /** Instead of a token that is minted. */
  readonly apiKey?: string | null;
  readonly model?: string;
  readonly content?: string;
  readonly path?: string;
  readonly times?: number;
  readonly status: number;
  readonly code: string;
  /** What the text says to do. */
  readonly remedy: RegExp;
  /** What the linked page says first of what it may be. */
  readonly cause: RegExp;
}

const signIn = /audience, client or issuer\. Sign in again; npx sallyport doctor/;
const tenant = '3f6c0000-0000-4000-8000-000000000000';
const mistakes: readonly Mistake[] = [
  {
    title: 'no token',
    apiKey: null,
    status: 401,
    code: 'missing_credentials',
    remedy: /send an access token.*npx sallyport login/,
    cause: /^1\. No `Authorization` header/m,
  },
  {
    title: 'an empty token',
    apiKey: ' ',
    status: 400,
    code: 'invalid_request',
    remedy: /empty.*Authorization: Bearer/,
    cause: /empty/,
  },
  {
    title: 'a v1.0 token where v2.0 is asked',
    claims: { iss: `https://sts.windows.net/${tenant}/`, ver: '1.0', tid: tenant },
    status: 401,
    code: 'invalid_token',
    remedy: signIn,
    cause: /`iss`/,
  },
  {
    title: 'a wrong audience',
    claims: { aud: 'https://graph.microsoft.com' },
    status: 401,
    code: 'invalid_token',
    remedy: signIn,
    cause: /`aud`/,
  },
  {
    title: 'a wrong client id',
    claims: { client_id: 'another', azp: 'another' },
    status: 401,
    code: 'invalid_token',
    remedy: signIn,
    cause: /`client_id`/,
  },
  {
    title: 'an expired token',
    claims: { exp: 1_700_000_000 },
    status: 401,
    code: 'invalid_token',
    remedy: /has expired.*Sign in again/,
    cause: /^1\. It has expired/m,
  },
  {
    title: 'a missing role',
    claims: { roles: [] },
    status: 403,
    code: 'access_denied',
    remedy: /Neither your roles nor the rules here permit chat\.completions\.create\. Ask an administrator/,
    cause: /^1\. The account has no role/m,
  },
  {
    title: 'a missing scope',
    claims: { scp: 'openid' },
    status: 403,
    code: 'insufficient_scope',
    remedy: /ask for the scope/,
    cause: /^1\. The sign-in did not ask/m,
  },
  {
    title: 'an unknown model',
    model: 'gpt-4o',
    status: 404,
    code: 'model_not_found',
    remedy: /no model gpt-4o.*GET \/v1\/models lists yours/,
    cause: /^1\. A misspelt model/m,
  },
  {
    title: 'over the limit',
    claims: { sub: 'eager' },
    times: 31,
    status: 429,
    code: 'rate_limit_exceeded',
    remedy: /30 per 1m\. Try again in \d+s/,
    cause: /^1\. A loop/m,
  },
  {
    title: 'a prompt that is too long',
    content: 'too long',
    status: 400,
    code: 'context_length_exceeded',
    remedy: /Shorten the prompt or lower max_tokens/,
    cause: /^1\. A long conversation/m,
  },
  {
    title: 'a denied word',
    content: 'sallyport-denied-example',
    status: 400,
    code: 'content_blocked',
    remedy: /Reword it/,
    cause: /^1\. A denied word/m,
  },
  {
    title: 'a base URL without /v1',
    path: '',
    status: 404,
    code: 'endpoint_not_found',
    remedy: /API is below \/v1/,
    cause: /\/v1/,
  },
];

/** Both clients alike: what differs between their types is not used here. */
const clients = [
  ['openai 7', (options: ConstructorParameters<typeof OpenAI>[0]) => new OpenAI(options), APIError],
  [
    'openai 6',
    (options: ConstructorParameters<typeof OpenAI>[0]) =>
      new OpenAI6(options as ConstructorParameters<typeof OpenAI6>[0]) as unknown as OpenAI,
    APIError6,
  ],
] as const;

for (const [name, create, ErrorClass] of clients) {
  describe(`the exception of ${name}`, () => {
    for (const mistake of mistakes) {
      it(`says what to do about ${mistake.title}, and links the cause`, async () => {
        const { apiKey, claims, model = 'tiny-gpt2', content = 'hi', path = '/v1', times = 1 } = mistake;
        const client = create({
          baseURL: gateway.url + path,
          apiKey: apiKey ?? (await gateway.mint(claims)),
          maxRetries: 0,
          ...(apiKey === null ? { defaultHeaders: { Authorization: null } } : {}),
        });
        let thrown: unknown;
        for (let count = 0; count < times && thrown === undefined; count++) {
          thrown = await client.chat.completions
            .create({ model, messages: [{ role: 'user', content }] })
            .then(
              () => undefined,
              (error: unknown) => error,
            );
        }
        assert.ok(thrown instanceof ErrorClass);
        assert.deepEqual([thrown.status, thrown.code], [mistake.status, mistake.code]);
        assert.match(thrown.message, mistake.remedy);
        assert.match(thrown.requestID ?? '', /^req_/);
        const { doc_url: page } = thrown.error as { doc_url: string };
        const manual = await (await fetch(page)).text();
        assert.match(manual.slice(manual.indexOf('## Usual causes')), mistake.cause);
      });
    }
  });
}
