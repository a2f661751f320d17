// The attack suite, moments: callers that leave while an issuer's keys are fetched, floods of unknown keys, and many
// requests at the same instant against one limit.
import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startTestGateway, type TestGateway } from '../support/start-gateway.ts';
import { auditRecordsOf, readAuditRecords } from './audit-records.ts';
import { sendRaw } from './raw-connection.ts';

const body = '{"model":"tiny-gpt2","messages":[{"role":"user","content":"hello"}]}';

function chat(accessToken: string, fields: readonly string[] = []): string {
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

describe('while the keys of an issuer are fetched', () => {
  let gateway: TestGateway;
  before(async () => {
    gateway = await startTestGateway();
  });
  after(() => gateway.close());

  it('callers may leave, pipeline and repeat themselves, and nothing breaks', async () => {
    await sendRaw(chat(await gateway.mint()), { port: gateway.port, until: 1 });
    const recorded = (await readAuditRecords(gateway, 1)).length;
    const release = gateway.issuer.hold();
    gateway.issuer.rotate();
    const accessToken = await gateway.mint();
    const leavers = Array.from({ length: 40 }, () => {
      const socket = net.connect(gateway.port, '127.0.0.1', () => socket.write(chat(accessToken)));
      socket.on('error', () => undefined);
      return socket;
    });
    const stayers = Promise.all(
      Array.from({ length: 10 }, () =>
        sendRaw(chat(accessToken) + chat('bad') + chat(accessToken), { port: gateway.port, until: 3 }),
      ),
    );
    await sleep(100);
    for (const socket of leavers) socket.destroy();
    await sleep(50);
    release();
    const statuses = (await stayers).map(({ answers }) => answers.map(({ status }) => status));
    for (const [first, second] of statuses) {
      assert.ok([200, 401, 503].includes(first ?? 0), JSON.stringify(statuses));
      // A refusal may end the connection; a second answer is never the answer to another request.
      assert.ok(second === undefined || second === 401, JSON.stringify(statuses));
    }
    const records = (await readAuditRecords(gateway, recorded + 50)).slice(recorded);
    assert.equal(new Set(records.map((record) => record.request_id)).size, records.length);
    assert.equal(gateway.running.active(), 0);
    assert.ok(gateway.issuer.requests.jwks <= 3);
  });

  it('a flood of unknown keys costs the issuer no more than one fetch', async () => {
    const before = gateway.issuer.requests.jwks;
    const stranger = Array.from({ length: 80 }, (_, index) =>
      gateway.issuer.mint({}, { kid: `unknown-${index}` }),
    );
    const exchanges = await Promise.all(
      stranger.map((accessToken) => sendRaw(chat(accessToken), { port: gateway.port, until: 1 })),
    );
    assert.deepEqual([...new Set(exchanges.map(({ answers }) => answers[0]?.status))], [401]);
    assert.ok(gateway.issuer.requests.jwks <= before + 1);
    const records = await auditRecordsOf(
      gateway,
      exchanges.flatMap(({ answers }) => answers),
    );
    assert.equal(records.length, 80);
  });
});

describe('a limit', () => {
  let gateway: TestGateway;
  before(async () => {
    gateway = await startTestGateway({
      edit: {
        'limits.yaml': [
          ['requests: 600', 'requests: 10'],
          ['requests: 120', 'requests: 10'],
        ],
      },
    });
  });
  after(() => gateway.close());

  it('lets exactly as many of 100 simultaneous requests through as it says, whatever they call themselves', async () => {
    const accessToken = await gateway.mint({ sub: 'mallory' });
    const exchanges = await Promise.all(
      Array.from({ length: 100 }, (_, index) =>
        sendRaw(
          chat(accessToken, [
            `X-Forwarded-For: 10.0.0.${index}`,
            `X-User-Id: ${index}`,
            `X-Real-IP: 10.0.1.${index}`,
          ]),
          {
            port: gateway.port,
            until: 1,
          },
        ),
      ),
    );
    const statuses = exchanges.map(({ answers }) => answers[0]?.status);
    assert.equal(statuses.filter((status) => status === 200).length, 10);
    assert.equal(statuses.filter((status) => status === 429).length, 90);
    assert.equal(gateway.upstream.requests.length, 10);
    const refused = exchanges.find(({ answers }) => answers[0]?.status === 429)?.answers[0]?.head ?? '';
    assert.match(refused, /retry-after: \d+/i);
  });
  it('of one caller is the same on every path and with every token of that caller', async () => {
    const accessToken = await gateway.mint({ sub: 'mallory', jti: 'another' });
    for (const line of [
      'POST /v1/completions',
      'POST /openai/v1/chat/completions',
      'POST /openai/deployments/tiny-gpt2/chat/completions',
    ]) {
      const { answers } = await sendRaw(chat(accessToken).replace('POST /v1/chat/completions', line), {
        port: gateway.port,
        until: 1,
      });
      assert.equal(answers[0]?.status, 429, line);
    }
  });
  it('does not touch anybody else', async () => {
    const { answers } = await sendRaw(chat(await gateway.mint({ sub: 'trent' })), {
      port: gateway.port,
      until: 1,
    });
    assert.equal(answers[0]?.status, 200);
  });
  it('of an address holds for the account routes, whatever is forwarded', async () => {
    const exchanges = await Promise.all(
      Array.from({ length: 40 }, (_, index) =>
        sendRaw(
          `POST /token HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 10.0.0.${index}\r\nForwarded: for=10.0.0.${index}\r\nContent-Length: 0\r\n\r\n`,
          { port: gateway.port, until: 1 },
        ),
      ),
    );
    assert.equal(exchanges.filter(({ answers }) => answers[0]?.status !== 429).length, 10);
  });
});
