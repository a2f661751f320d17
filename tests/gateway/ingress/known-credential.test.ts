// The same bytes on the same connection: the gateway need not read them again, but must judge them each time.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { sendRaw } from '../../regressions/raw-connection.ts';
import { startTestGateway, type TestGateway } from '../../support/start-gateway.ts';

let gateway: TestGateway;

before(async () => {
  gateway = await startTestGateway();
});
after(() => gateway.close());

const body = '{"model":"tiny-gpt2","messages":[{"role":"user","content":"hello"}]}';

function post(accessToken: string, fields: readonly string[] = []): string {
  return [
    'POST /v1/chat/completions HTTP/1.1',
    'Host: localhost',
    `Authorization: Bearer ${accessToken}`,
    'Content-Type: application/json',
    `Content-Length: ${body.length}`,
    ...fields,
    '',
    body,
  ].join('\r\n');
}

/** Statuses of requests that are sent one after the other on one connection; `between` runs before the last. */
async function statuses(
  bytes: readonly string[],
  between: () => Promise<unknown> | undefined,
): Promise<number[]> {
  const first = bytes.slice(0, -1);
  const early = await sendRaw(first[0] ?? '', {
    port: gateway.port,
    then: first.slice(1),
    until: first.length,
  });
  await between();
  const late = await sendRaw(bytes.at(-1) ?? '', { port: gateway.port, until: 1 });
  return [...early.answers, ...late.answers].map(({ status }) => status);
}

async function revoke(subject: string): Promise<void> {
  const response = await fetch(`${gateway.url}/admin/revocations`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      authorization: `Bearer ${await gateway.mint({ sub: 'admin', roles: ['LLM.Admin'] })}`,
    },
    body: JSON.stringify({ issuer: gateway.issuer.issuer, subject }),
  });
  assert.equal(response.status, 201, await response.text());
}

describe('a head that is known', () => {
  it('is refused once its credential is revoked', async () => {
    const bytes = post(await gateway.mint({ sub: 'bob' }));
    assert.deepEqual(await statuses([bytes, bytes, bytes], () => revoke('bob')), [200, 200, 401]);
  });
  it('is refused as it was before, while its credential is bad', async () => {
    const bytes = post('bad');
    assert.deepEqual(await statuses([bytes, bytes], () => undefined), [401, 401]);
  });
  it('is not taken for one that differs in a single byte', async () => {
    const accessToken = await gateway.mint({ sub: 'dave' });
    for (const at of [10, Math.floor(accessToken.length / 2), accessToken.length - 2]) {
      const changed = accessToken.charAt(at) === 'A' ? 'B' : 'A';
      const other = accessToken.slice(0, at) + changed + accessToken.slice(at + 1);
      const bytes = [post(accessToken), post(accessToken), post(other)];
      assert.deepEqual(await statuses(bytes, () => undefined), [200, 200, 401]);
    }
  });
  it('does not lend its credential to one that has none or two', async () => {
    const accessToken = await gateway.mint({ sub: 'erin' });
    const good = post(accessToken);
    const none = good.replace(/Authorization: .*\r\n/, '');
    const two = post(accessToken, [`api-key: ${accessToken}`]);
    assert.deepEqual(await statuses([good, good, none], () => undefined), [200, 200, 401]);
    assert.deepEqual(await statuses([good, good, two], () => undefined), [200, 200, 400]);
  });
});
