// Whole gateways with their limits in a real Redis: how often a request asks it, counted on the wire, and what leases keep
// when several gateways share a quota and when Redis goes.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { startCountingProxy } from '../../support/counting-proxy.ts';
import { redisMissing, startRedis, type PrivateRedis } from '../../support/redis.ts';
import { json } from '../../support/fake-upstream.ts';
import { chatAnswer, startTestGateway, type TestGateway } from '../../support/start-gateway.ts';

const models = (gateway: TestGateway, accessToken: string | null): Promise<Response> =>
  fetch(
    `${gateway.url}/v1/models`,
    accessToken === null ? {} : { headers: { authorization: `Bearer ${accessToken}` } },
  );
const statusOf = async (gateway: TestGateway, accessToken: string | null): Promise<number> => {
  const answer = await models(gateway, accessToken);
  await answer.arrayBuffer();
  return answer.status;
};
async function chat(gateway: TestGateway, accessToken: string): Promise<number> {
  const answer = await fetch(`${gateway.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${accessToken}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      model: 'tiny-gpt2',
      max_tokens: 100,
      messages: [{ role: 'user', content: 'hello' }],
    }),
  });
  await answer.arrayBuffer();
  return answer.status;
}

/** A gateway before whose Redis everything is counted. */
async function watched(redis: PrivateRedis, lease?: string) {
  const proxy = await startCountingProxy(redis.url);
  const setting = `${proxy.path}.url`;
  writeFileSync(setting, proxy.path);
  const gateway = await startTestGateway({
    edit: { 'limits.yaml': [['requests: 1000,', 'requests: 5,']] },
    config: { redis: { url: `file:${setting}`, ...(lease === undefined ? {} : { lease }) } },
  });
  const digests = (): string[] =>
    [...proxy.sent().matchAll(/\r\nevalsha\r\n\$40\r\n([0-9a-f]{40})\r\n/gi)].map(([, digest]) =>
      String(digest),
    );
  // The list of those who have failed too often, which the gateway asks for by itself: its first question.
  for (let attempt = 0; digests().length === 0 && attempt < 500; attempt++) await delay(10);
  const [list] = digests();
  assert.ok(list !== undefined);
  return {
    gateway,
    proxy,
    /** Questions for the list, and all others. */
    questions: (): { readonly lists: number; readonly others: number } => {
      const all = digests();
      const lists = all.filter((digest) => digest === list).length;
      return { lists, others: all.length - lists };
    },
    close: async (): Promise<void> => {
      await gateway.close();
      await proxy.close();
    },
  };
}
type Watched = Awaited<ReturnType<typeof watched>>;

describe('a gateway with its limits in Redis', { skip: redisMissing ?? false }, () => {
  let redis: PrivateRedis;
  let at: Watched;
  before(async () => {
    redis = await startRedis();
    at = await watched(redis);
    await statusOf(at.gateway, await at.gateway.mint({ sub: 'teaches the script' }));
  });
  after(async () => {
    await at.close();
    await redis.close();
  });

  const asked = async (act: () => Promise<void>): Promise<number> => {
    const before = at.questions().others;
    await act();
    await delay(50); // What nobody waits for has been sent by then.
    return at.questions().others - before;
  };

  it('asks it once for a request, also the first after a pause and the first of a token', async () => {
    for (const sub of ['alice', 'alice', 'bob']) {
      await delay(1_200);
      const accessToken = await at.gateway.mint({ sub });
      assert.equal(await asked(async () => assert.equal(await statusOf(at.gateway, accessToken), 200)), 1);
    }
  });

  it('asks it once for each of many, and for the list by the clock alone', async () => {
    const accessToken = await at.gateway.mint({ sub: 'many' });
    const before = at.questions().lists;
    const began = performance.now();
    const others = await asked(async () => {
      for (let count = 0; count < 100; count++) assert.equal(await statusOf(at.gateway, accessToken), 200);
    });
    assert.equal(others, 100);
    const turns = (performance.now() - began) / 500;
    assert.ok(
      at.questions().lists - before <= turns + 2,
      `${at.questions().lists - before} in ${turns} turns`,
    );
  });

  it('asks it once for a completion, and settles its model tokens in another command, for which nobody waits', async () => {
    const accessToken = await at.gateway.mint({ sub: 'chat' });
    assert.ok((await asked(async () => assert.equal(await chat(at.gateway, accessToken), 200))) <= 2);
  });

  it('asks it once for a credential that is refused, never for none, and never for an address that is locked out', async () => {
    assert.equal(await asked(async () => assert.equal(await statusOf(at.gateway, null), 401)), 0);
    for (let count = 0; count < 5; count++)
      assert.equal(await asked(async () => assert.equal(await statusOf(at.gateway, 'bad'), 401)), 1);
    const good = await at.gateway.mint({ sub: 'alice' });
    for (const credential of ['bad', good]) {
      const before = at.questions().others;
      const answer = await models(at.gateway, credential);
      // The same words whether the guess was right or wrong.
      assert.equal(answer.status, 429);
      const { error } = (await answer.json()) as { error: { code: string; message: string } };
      assert.equal(error.code, 'rate_limit_exceeded');
      assert.match(error.message, /5 failed authentications/);
      assert.equal(at.questions().others, before);
    }
  });
});

describe('two gateways with leases', { skip: redisMissing ?? false }, () => {
  const quota = 60;
  const edit = {
    'limits.yaml': [
      ['requests: 600,', `requests: ${quota},`],
      ['model_tokens: 100000,', 'model_tokens: 2000,'],
      ['requests: 120,', 'requests: 20,'],
    ],
  } as const;
  let redis: PrivateRedis;
  let one: TestGateway;
  let other: TestGateway;
  before(async () => {
    redis = await startRedis();
    const config = { redis: { url: redis.setting, lease: '200ms' } };
    const usage = { prompt_tokens: 10, completion_tokens: 90, total_tokens: 100 };
    const script = json({ ...chatAnswer, usage });
    one = await startTestGateway({ edit, config, script });
    // One issuer for both, so that a person is the same at both.
    other = await startTestGateway({
      edit,
      config: { ...config, embedded_issuer: one.issuer.issuer },
      script,
    });
  });
  after(async () => {
    await Promise.all([one.close(), other.close()]);
    await redis.close();
  });

  /** One person's requests to both at once, until everybody was refused twelve times; how many were permitted. */
  async function permitted(ask: (gateway: TestGateway) => Promise<number>): Promise<number> {
    let count = 0;
    const caller = async (gateway: TestGateway): Promise<void> => {
      for (let refusals = 0; refusals < 12;) {
        const status = await ask(gateway);
        assert.ok(status === 200 || status === 429, String(status));
        if (status === 200) count++;
        else {
          refusals++;
          await delay(100); // What the other holds unused comes back within twice the lease.
        }
      }
    };
    await Promise.all([one, other].flatMap((gateway) => Array.from({ length: 6 }, () => caller(gateway))));
    return count;
  }

  it('permit together exactly the quota of requests', async () => {
    const accessToken = await one.mint({ sub: 'both' });
    assert.equal(await permitted((gateway) => statusOf(gateway, accessToken)), quota);
  });

  it('permit together no more than the quota of model tokens, and nearly all of it', async () => {
    const accessToken = await one.mint({ sub: 'tokens of both' });
    // 2000, of which each uses 100 and reserves somewhat more.
    const count = await permitted((gateway) => chat(gateway, accessToken));
    assert.ok(count <= 20 && count >= 17, `${count} permitted`);
  });

  it('permit together no more than the quota of one address, and nearly all of it at once', async () => {
    const register = async (gateway: TestGateway): Promise<number> => {
      const answer = await fetch(`${gateway.url}/users`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ username: 'x', password: 'y' }),
      });
      await answer.arrayBuffer();
      return answer.status;
    };
    const statuses = await Promise.all(
      Array.from({ length: 60 }, (_, number) => register(number % 2 === 0 ? one : other)),
    );
    const count = statuses.filter((status) => status !== 429).length;
    assert.ok(statuses.every((status) => status !== 503) && count <= 20 && count >= 16, statuses.join());
  });

  it('ask Redis for few of many requests', async () => {
    const at = await watched(redis, '5s');
    try {
      const accessToken = await at.gateway.mint({ sub: 'hot' });
      await statusOf(at.gateway, accessToken);
      const before = at.questions().others;
      for (let count = 0; count < 300; count++) assert.equal(await statusOf(at.gateway, accessToken), 200);
      const asked = at.questions().others - before;
      assert.ok(asked <= 30, `${asked} questions for 300 requests`);
    } finally {
      await at.close();
    }
  });

  it('refuse with 503 when Redis has gone and what they hold is used up, and never permit more than the quota', async () => {
    const accessToken = await one.mint({ sub: 'outage' });
    let count = 0;
    for (let asked = 0; asked < 20; asked++)
      if ((await statusOf(asked % 2 === 0 ? one : other, accessToken)) === 200) count++;
    assert.equal(count, 20);
    await redis.kill();
    const last = { one: 200, other: 200 };
    for (let attempt = 0; attempt < 200 && (last.one !== 503 || last.other !== 503); attempt++) {
      last.one = await statusOf(one, accessToken);
      last.other = await statusOf(other, accessToken);
      for (const status of [last.one, last.other]) {
        assert.ok(status === 200 || status === 503, String(status));
        if (status === 200) count++;
      }
    }
    assert.deepEqual(last, { one: 503, other: 503 });
    assert.ok(count <= quota, `${count} permitted`);
    // Who failed to authenticate elsewhere cannot be known any more: good credentials of others are refused, too.
    await delay(1_100);
    for (const gateway of [one, other])
      assert.equal(await statusOf(gateway, await one.mint({ sub: 'somebody' })), 503);
    assert.match(await (await fetch(`${one.url}/readyz`)).text(), /Redis/);
    await redis.restart();
    for (let attempt = 0; (await statusOf(one, accessToken)) === 503; attempt++) {
      assert.ok(attempt < 200, 'it does not come back');
      await delay(50);
    }
  });
});
