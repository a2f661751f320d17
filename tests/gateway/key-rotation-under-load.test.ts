// An issuer that rotates its keys, is attacked through us, or goes away, while a real gateway serves real requests.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Pool } from 'undici';
import { startFakeIssuer } from '../support/fake-issuer.ts';
import { createSigningKey, encodePart } from '../support/mint-access-token.ts';
import { startTestGateway, type TestGateway } from '../support/start-gateway.ts';
import {
  assertRefused,
  authenticationOf,
  entryFor,
  verified,
} from './authenticate/authentication-under-test.ts';

interface Answer {
  readonly status: number;
  readonly body: string;
}

async function ask(pool: Pool, accessToken: string): Promise<Answer> {
  const { statusCode, body } = await pool.request({
    path: '/v1/models',
    method: 'GET',
    headers: { authorization: `Bearer ${accessToken}` },
  });
  return { status: statusCode, body: await body.text() };
}

/** Tokens that name keys which nobody has; their signatures are never looked at. */
const withRandomKid = (issuer: string): string => {
  const header = { alg: 'RS256', typ: 'at+jwt', kid: randomUUID() };
  return `${encodePart(header)}.${encodePart({ iss: issuer })}.${'A'.repeat(342)}`;
};

describe('an issuer that rotates its keys under load', () => {
  let gateway: TestGateway;
  let pool: Pool;
  before(async () => {
    gateway = await startTestGateway({
      edit: { 'issuers.yaml': [['clock_skew: 30s', 'clock_skew: 30s\n    jwks: { cooldown: 1s }']] },
    });
    pool = new Pool(gateway.url, { connections: 24 });
  });
  after(async () => {
    await pool.close();
    await gateway.close();
  });

  it('has no valid token refused, from the moment on which a new key is published, and is asked once for each', async () => {
    const rotations = 4;
    const refused: Answer[] = [];
    let served = 0;
    let isOver = false;
    const caller = async (): Promise<void> => {
      while (!isOver) {
        const answer = await ask(pool, await gateway.mint());
        if (answer.status === 200) served++;
        else refused.push(answer);
      }
    };
    // One who signed in before all of it.
    const old = await gateway.mint();
    const callers = Array.from({ length: 24 }, caller);
    for (let rotation = 0; rotation < rotations; rotation++) {
      // The cool-down begins with the fetch that the key before has caused.
      await delay(1_200);
      gateway.issuer.rotate();
      const servedBefore = served;
      while (served < servedBefore + 48 && refused.length === 0) await delay(10);
      refused.push(...[await ask(pool, old)].filter(({ status }) => status !== 200));
    }
    isOver = true;
    await Promise.all(callers);
    assert.deepEqual(refused, []);
    assert.ok(served >= rotations * 48);
    assert.deepEqual(gateway.issuer.requests, { metadata: 1, jwks: 1 + rotations, other: 0 });
  });

  it('has the tokens of a withdrawn key refused once the keys were fetched, and all others served', async () => {
    const [old, withdrawn] = [await gateway.mint(), gateway.issuer.key().kid];
    assert.equal((await ask(pool, old)).status, 200);
    gateway.issuer.rotate();
    gateway.issuer.withdraw(withdrawn);
    await delay(1_200);
    assert.equal((await ask(pool, await gateway.mint())).status, 200);
    assert.equal((await ask(pool, old)).status, 401);
  });
});

describe('ten thousand random key ids', () => {
  let gateway: TestGateway;
  let pool: Pool;
  before(async () => {
    gateway = await startTestGateway();
    pool = new Pool(gateway.url, { connections: 32 });
  });
  after(async () => {
    await pool.close();
    await gateway.close();
  });

  /** Sends `count` of them over 32 connections, every tenth request a good one; counts the answers. */
  async function flood(count: number): Promise<Record<string, number>> {
    const answers: Record<string, number> = {};
    const [seen, valid] = [
      await gateway.mint(),
      await Promise.all(Array.from({ length: 50 }, () => gateway.mint())),
    ];
    let sent = 0;
    const attacker = async (): Promise<void> => {
      while (sent < count) {
        const number = sent++;
        const isGood = number % 10 === 0;
        const good = number % 20 === 0 ? seen : (valid[number % valid.length] ?? seen);
        const { status } = await ask(pool, isGood ? good : withRandomKid(gateway.issuer.issuer));
        const key = `${isGood ? 'good' : 'random'} ${status}`;
        answers[key] = (answers[key] ?? 0) + 1;
      }
    };
    await Promise.all(Array.from({ length: 32 }, attacker));
    return answers;
  }

  it('cost the issuer one fetch, and nobody with a known key notices', async () => {
    const startedAt = performance.now();
    const answers = await flood(11_112);
    assert.deepEqual(answers, { 'good 200': 1_112, 'random 401': 10_000 });
    // One fetch at the start, then one for each cool-down that the flood lasted.
    const cooldowns = Math.floor((performance.now() - startedAt) / 30_000) + 1;
    assert.ok(gateway.issuer.requests.jwks <= 1 + cooldowns, `${gateway.issuer.requests.jwks} fetches`);
    assert.equal(gateway.issuer.requests.metadata, 1);
  });

  it('cost an issuer that is down as little', async () => {
    const { jwks, metadata } = gateway.issuer.requests;
    const startedAt = performance.now();
    gateway.issuer.fail('500');
    const answers = await flood(1_000);
    gateway.issuer.fail(null);
    assert.equal(answers['good 200'], 100);
    const cooldowns = Math.floor((performance.now() - startedAt) / 30_000) + 1;
    const fetches = gateway.issuer.requests.jwks + gateway.issuer.requests.metadata - jwks - metadata;
    assert.ok(fetches <= cooldowns, `${fetches} fetches`);
  });
});

describe('an issuer that is down for hours', () => {
  it('leaves tokens of known keys good until the maximum age, and says unavailable from then on', async () => {
    const key = createSigningKey();
    const issuer = await startFakeIssuer({ keys: [key] });
    const underTest = authenticationOf({ it: entryFor(issuer.issuer, { jwks: { max_age: '2h' } }) });
    const { authentication, clock } = underTest;
    await authentication.start();
    const day = { exp: Math.floor(clock.wallMs / 1_000) + 86_400 };
    const cached = issuer.mint(day);
    await verified(authentication, cached);
    await issuer.close();
    for (let minute = 1; minute < 120; minute++) {
      clock.advance(60_000);
      if (minute % 10 === 0) await authentication.refresh();
      assert.equal((await verified(authentication, cached)).subject, 'account-1');
      assert.equal(
        (await verified(authentication, issuer.mint(day))).subject,
        'account-1',
        `minute ${minute}`,
      );
    }
    await assertRefused(
      () => authentication.verify(issuer.mint(day, { kid: 'newer' })),
      'issuer_unavailable',
    );
    await assertRefused(
      () => authentication.verify(issuer.mint({ ...day, aud: 'x' })),
      'invalid_token',
      'aud',
    );
    assert.match(authentication.status()[0]?.problem ?? '', /nothing listens there/);
    clock.advance(60_000);
    await assertRefused(() => authentication.verify(cached), 'issuer_unavailable', 'issuer_unavailable');
    await assertRefused(() => authentication.verify(issuer.mint(day)), 'issuer_unavailable');
    const warnings = underTest.logLines.filter(({ level }) => level === 40);
    assert.equal(warnings.length, 1, 'one line for the whole outage');

    const back = await startFakeIssuer({ keys: [key], port: issuer.port });
    await authentication.refresh();
    await verified(authentication, cached);
    authentication.close();
    await back.close();
  });
});
