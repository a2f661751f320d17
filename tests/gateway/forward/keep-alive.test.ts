// A second response left on a kept-alive connection must never reach another caller (CVE-2026-48931 and what it leaves
// open). Each of 144 callers asks for its own word; the upstream leaves answers with other words behind.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  httpAnswer,
  requestId,
  startFakeUpstream,
  twice,
  type FakeRequest,
  type Script,
} from '../../support/fake-upstream.ts';
import { ask, startStubGateway, type Answer, type StubGateway } from './stub-gateway.ts';

const wordOf = (request: FakeRequest): string => JSON.parse(request.body.toString()).user;

function answer(text: string, echo: string | null): string {
  const headers = { 'content-type': 'application/json', ...(echo === null ? {} : { 'x-request-id': echo }) };
  return httpAnswer(200, headers, JSON.stringify({ choices: [{ text }] }));
}

const good = (request: FakeRequest): string => answer(wordOf(request), requestId(request));
const goodWithoutEcho = (request: FakeRequest): string => answer(wordOf(request), null);
const stray = (request: FakeRequest): string => answer(`stray of ${wordOf(request)}`, requestId(request));
const strayWithoutEcho = (request: FakeRequest): string => answer(`stray of ${wordOf(request)}`, null);

async function crowd(
  gateway: StubGateway,
  rounds: number,
): Promise<{ wrong: number; right: number; refused: number }> {
  const counts = { wrong: 0, right: 0, refused: 0 };
  const judge = (word: string, got: Answer): void => {
    if (got.status !== 200) counts.refused++;
    else if (JSON.parse(got.text).choices[0].text === word) counts.right++;
    else counts.wrong++;
  };
  const caller = async (name: number): Promise<void> => {
    for (let round = 0; round < rounds; round++) {
      const word = `caller ${name} round ${round}`;
      judge(word, await ask(gateway, { user: word }));
    }
  };
  await Promise.all(Array.from({ length: 144 }, (_, name) => caller(name)));
  return counts;
}

const hostile: [title: string, script: Script][] = [
  ['in the same write, with an old echo', twice(good, stray)],
  ['in the same write, without an echo', twice(good, strayWithoutEcho)],
  ['a moment later, with an old echo', twice(good, stray, 1)],
  ['a moment later, without an echo', twice(good, strayWithoutEcho, 1)],
  ['later, while the next request is under way', twice(good, stray, 5)],
  ['in the same write, and never echoes', twice(goodWithoutEcho, strayWithoutEcho)],
  ['a moment later, and never echoes', twice(goodWithoutEcho, strayWithoutEcho, 1)],
  ['now and then, one answer late from then on', lateFromThenOn()],
];

/** Answers each request with the answer of the request before it on the same connection, from the third one on. */
function lateFromThenOn(): Script {
  const before = new Map<number, FakeRequest>();
  return (request, socket) => {
    const previous = before.get(request.connection);
    before.set(request.connection, request);
    socket.write(good(request.turn < 2 || previous === undefined ? request : previous));
  };
}

describe('a second response on a connection', () => {
  for (const [title, script] of hostile) {
    it(`never reaches another of 144 callers when it comes ${title}`, async () => {
      const upstream = await startFakeUpstream(script);
      const gateway = await startStubGateway({ url: upstream.url, upstream: { max_connections: 16 } });
      const counts = await crowd(gateway, 4);
      assert.equal(counts.wrong, 0, JSON.stringify(counts));
      assert.equal(counts.right + counts.refused, 144 * 4);
      assert.ok(counts.right > 0);
      await gateway.close();
      await upstream.close();
    });
  }

  it('would reach wrong callers without the proof, so this test can fail', async () => {
    const upstream = await startFakeUpstream(twice(good, stray, 1));
    const gateway = await startStubGateway({
      url: upstream.url,
      upstream: { max_connections: 16, insecure_reuse_unproven_connections: true },
    });
    const counts = await crowd(gateway, 4);
    assert.ok(counts.wrong > 0, JSON.stringify(counts));
    await gateway.close();
    await upstream.close();
  });

  it('ends the connection that carries it, and the next answer comes over a fresh one', async () => {
    const upstream = await startFakeUpstream(twice(good, stray));
    const gateway = await startStubGateway({ url: upstream.url });
    for (let turn = 0; turn < 5; turn++) assert.equal((await ask(gateway, { user: 'me' })).status, 200);
    assert.equal(upstream.connectionCount, 5);
    await gateway.close();
    await upstream.close();
  });
});

describe('connections to an upstream', () => {
  it('are reused while every answer echoes its request id', async () => {
    const upstream = await startFakeUpstream((request, socket) => void socket.write(good(request)));
    const gateway = await startStubGateway({ url: upstream.url });
    for (let turn = 0; turn < 5; turn++) assert.equal((await ask(gateway, { user: 'me' })).status, 200);
    assert.equal(upstream.connectionCount, 1);
    await gateway.close();
    await upstream.close();
  });

  it('are used once each when the upstream does not echo', async () => {
    const upstream = await startFakeUpstream(
      (request, socket) => void socket.write(goodWithoutEcho(request)),
    );
    const gateway = await startStubGateway({ url: upstream.url });
    for (let turn = 0; turn < 5; turn++) assert.equal((await ask(gateway, { user: 'me' })).status, 200);
    assert.equal(upstream.connectionCount, 5);
    await upstream.idle();
    await gateway.close();
    await upstream.close();
  });

  it('never exceed max_connections, further callers wait their turn', async () => {
    let most = 0;
    const upstream = await startFakeUpstream((request, socket) => {
      most = Math.max(most, upstream.openCount);
      setTimeout(() => socket.write(good(request)), 5);
    });
    const gateway = await startStubGateway({ url: upstream.url, upstream: { max_connections: 3 } });
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask(gateway, { user: 'me' })));
    assert.deepEqual(new Set(answers.map((one) => one.status)), new Set([200]));
    assert.ok(most <= 3, String(most));
    await gateway.close();
    await upstream.close();
  });

  it('refuse with 503 a caller for whom none becomes free in time', async () => {
    const upstream = await startFakeUpstream(
      (request, socket) => void setTimeout(() => socket.write(good(request)), 250),
    );
    const gateway = await startStubGateway({
      url: upstream.url,
      upstream: { max_connections: 1, timeouts: { first_byte_ms: 400 } },
    });
    const answers = await Promise.all(Array.from({ length: 4 }, () => ask(gateway, { user: 'me' })));
    const statuses = answers.map((one) => one.status).sort();
    assert.equal(statuses[0], 200);
    assert.equal(statuses.at(-1), 503);
    assert.equal(answers.find((one) => one.status === 503)?.headers['retry-after'], '1');
    await gateway.close();
    await upstream.close();
  });
});
