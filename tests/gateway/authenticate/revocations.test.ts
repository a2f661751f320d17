// What is revoked: what names a principal, how long it is remembered, and how it comes through the folder that all
// processes of a gateway share.
import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { pino } from 'pino';
import { GatewayError } from '../../../core/errors.ts';
import { openRevocations, type Revocation } from '../../../gateway/authenticate/index.ts';
import { KnownRevocations } from '../../../gateway/authenticate/revocations/known-revocations.ts';
import { anonymousPrincipal, type Credential, type Principal } from '../../../gateway/principal.ts';
import { eventually } from '../../support/serve.ts';

const issuer = 'https://issuer.example';
const log = pino({ level: 'silent' });
const nowMs = 1_800_000_000_000;
const now = nowMs / 1_000;

function principal(credential: Partial<Credential> = {}, subject = 'alice'): Principal {
  return {
    ...anonymousPrincipal('127.0.0.1'),
    issuer,
    subject,
    key: `${issuer} ${subject}`,
    credential: { kind: 'access_token', id: 'id-1', issuedAt: now - 60, ...credential },
  };
}

function revocation(members: Partial<Revocation>): Revocation {
  return { issuer, at: now, until: now + 3_600, ...members };
}

describe('known revocations', () => {
  const holder = `${issuer} alice`;
  const cases: [title: string, revocation: Revocation, principal: Principal, isRevoked: boolean][] = [
    ['an id', revocation({ credential: 'id-1' }), principal(), true],
    ['another id', revocation({ credential: 'id-2' }), principal(), false],
    [
      'the id of another issuer',
      revocation({ credential: 'id-1', issuer: 'https://other.example' }),
      principal(),
      false,
    ],
    [
      'an id for a credential without one',
      revocation({ credential: 'id-1' }),
      principal({ id: null }),
      false,
    ],
    ['a holder', revocation({ holder }), principal(), true],
    [
      'a holder, for a credential issued at that second',
      revocation({ holder }),
      principal({ issuedAt: now }),
      true,
    ],
    [
      'a holder, for a credential issued later',
      revocation({ holder }),
      principal({ issuedAt: now + 1 }),
      false,
    ],
    [
      'a holder, for a credential of unknown age',
      revocation({ holder }),
      principal({ issuedAt: null }),
      true,
    ],
    ['a holder, for his API key', revocation({ holder }), principal({ kind: 'api_key' }), true],
    [
      'a holder but his API keys, for a token',
      revocation({ holder, spares_api_keys: true }),
      principal(),
      true,
    ],
    [
      'a holder but his API keys, for a key',
      revocation({ holder, spares_api_keys: true }),
      principal({ kind: 'api_key' }),
      false,
    ],
    ['another holder', revocation({ holder: `${issuer} bob` }), principal(), false],
    ['a holder whose name begins alike', revocation({ holder: `${issuer} alic` }), principal(), false],
    [
      'a holder by sub, where the policy reads another claim',
      revocation({ holder }),
      { ...principal({}, 'a@b'), claims: { sub: 'alice' } },
      true,
    ],
    [
      'a holder by key, where the subject differs',
      revocation({ holder: 'entra:t oid' }),
      { ...principal(), key: 'entra:t oid' },
      true,
    ],
    ['an id, but it is over', revocation({ credential: 'id-1', until: now - 1 }), principal(), false],
    ['an id for ever', revocation({ credential: 'id-1', until: null }), principal(), true],
  ];
  for (const [title, known, whose, isRevoked] of cases) {
    it(`${isRevoked ? 'refuses' : 'passes'}: ${title}`, () => {
      const revocations = new KnownRevocations();
      revocations.add([known], nowMs);
      assert.equal(revocations.revokes(whose, nowMs), isRevoked);
    });
  }

  it('says when it has learnt something, and only then', () => {
    const revocations = new KnownRevocations();
    assert.equal(revocations.generation, 0);
    assert.equal(revocations.add([revocation({ credential: 'a' })], nowMs).length, 1);
    assert.equal(revocations.generation, 1);
    assert.equal(revocations.add([revocation({ credential: 'a' })], nowMs).length, 0);
    assert.equal(revocations.generation, 1);
  });

  it('keeps the later time and the longer memory of two for one holder', () => {
    const revocations = new KnownRevocations();
    revocations.add([revocation({ holder, at: now, until: null })], nowMs);
    revocations.add([revocation({ holder, at: now + 10, until: now + 20 })], nowMs);
    revocations.add([revocation({ holder, at: now - 10, until: now + 20 })], nowMs);
    assert.equal(revocations.revokes(principal({ issuedAt: now + 10 }), nowMs), true);
    assert.equal(revocations.revokes(principal({ issuedAt: now + 10 }), nowMs + 3_600_000), true);
    assert.equal(revocations.size, 1);
  });

  it('forgets what is over', () => {
    const revocations = new KnownRevocations();
    revocations.add([revocation({ credential: 'a', until: now + 10 })], nowMs);
    revocations.add([revocation({ credential: 'b', until: now + 1_000 })], nowMs + 61_000);
    assert.equal(revocations.size, 1);
  });

  it('refuses more, not less, when it has to give up the oldest', () => {
    const revocations = new KnownRevocations({ maxPassing: 2, maxLasting: 1 });
    revocations.add(
      ['a', 'b', 'c'].map((credential) => revocation({ credential, at: now })),
      nowMs,
    );
    assert.equal(revocations.size, 2);
    assert.equal(revocations.revokes(principal({ id: 'a' }), nowMs), true);
    assert.equal(revocations.revokes(principal({ id: 'other' }), nowMs), true);
    assert.equal(revocations.revokes(principal({ id: 'other', kind: 'api_key' }), nowMs), false);
    assert.equal(revocations.revokes(principal({ id: 'other', issuedAt: now + 1 }), nowMs), false);
  });

  it('takes no more without an end than it can keep, and says so', () => {
    const revocations = new KnownRevocations({ maxPassing: 2, maxLasting: 1 });
    const added = revocations.add(
      ['a', 'b'].map((credential) => revocation({ credential, until: null })),
      nowMs,
    );
    assert.deepEqual(
      added.map(({ credential }) => credential),
      ['a'],
    );
    assert.equal(revocations.covers(revocation({ credential: 'b', until: null })), false);
  });
});

describe('the folder of revocations', () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'sallyport-revocations-'));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  const seconds = (): number => Math.floor(Date.now() / 1_000);
  const current = (members: Partial<Revocation>): Revocation => ({
    issuer,
    at: seconds(),
    until: seconds() + 3_600,
    ...members,
  });
  const opened = (name: string, keepMs = 3_600_000): ReturnType<typeof openRevocations> =>
    openRevocations({ folder: join(folder, name), keepMs, log });

  it('carries a revocation to another process, which tells whoever listens', async () => {
    const [one, other] = [opened('two'), opened('two')];
    let heard = 0;
    other.onChange(() => heard++);
    await one.revoke([current({ credential: 'id-1' })]);
    assert.throws(
      () => one.judge(principal()),
      (error) => error instanceof GatewayError && error.code === 'credential_revoked',
    );
    await eventually('the other process knows', () => other.isRevoked(principal()));
    assert.ok(heard > 0);
    await Promise.all([one.close(), other.close()]);
  });

  it('is read at the next start, with and without an end', async () => {
    const one = opened('restart');
    await one.revoke([current({ credential: 'id-1' }), current({ credential: 'id-2', until: null })]);
    await one.close();
    const next = opened('restart');
    assert.equal(next.isRevoked(principal()), true);
    assert.equal(next.isRevoked(principal({ id: 'id-2' })), true);
    assert.deepEqual(next.status(), [{ name: 'files', problem: null }]);
    await next.close();
  });

  it('survives a line that a crash left half written, and damage', async () => {
    const one = opened('torn');
    await one.revoke([current({ credential: 'id-1' })]);
    const [file = ''] = readdirSync(join(folder, 'torn'));
    appendFileSync(join(folder, 'torn', file), '{"issuer":"https://iss');
    await one.revoke([current({ credential: 'id-2' })]);
    appendFileSync(join(folder, 'torn', file), 'null\n[]\n{"issuer":"x","at":1,"until":null}\n');
    await one.close();
    const next = opened('torn');
    assert.equal(next.isRevoked(principal()), true);
    assert.equal(next.isRevoked(principal({ id: 'id-2' })), true);
    assert.equal(next.size, 2);
    await next.close();
  });

  it('loses the files whose entries are all over, and no other', async () => {
    const one = opened('old');
    const day = (ago: number): string => new Date(Date.now() - ago * 86_400_000).toISOString().slice(0, 10);
    writeFileSync(
      join(folder, 'old', `${day(9)}.jsonl`),
      `${JSON.stringify(current({ credential: 'a' }))}\n`,
    );
    writeFileSync(
      join(folder, 'old', `${day(1)}.jsonl`),
      `${JSON.stringify(current({ credential: 'id-1' }))}\n`,
    );
    writeFileSync(join(folder, 'old', 'notes.txt'), 'mine');
    await one.close();
    const next = opened('old');
    assert.deepEqual(readdirSync(join(folder, 'old')).toSorted(), [`${day(1)}.jsonl`, 'notes.txt']);
    assert.equal(next.isRevoked(principal()), true);
    await next.close();
  });

  it('says that a revocation could not be recorded, and holds it all the same', async () => {
    const one = opened('gone');
    rmSync(join(folder, 'gone'), { recursive: true });
    await assert.rejects(
      one.revoke([current({ credential: 'id-1' })]),
      (error) => error instanceof GatewayError && error.code === 'revocation_unavailable',
    );
    assert.equal(one.isRevoked(principal()), true);
    assert.notEqual(one.status()[0]?.problem, null);
    await one.close();
  });

  it('does not grow when the feed tells everything again at the next start', async () => {
    const at = seconds();
    const text = [
      { type: 'hello', latest: 2 },
      { type: 'revoked', credential: 'id-1', at },
      { type: 'revoked_before', subject: 'bob', at },
    ]
      .map((event, id) => `${id === 0 ? '' : `id: ${id}\n`}data: ${JSON.stringify(event)}\n\n`)
      .join('');
    /** Sends its events and then nothing, until it is left. */
    async function* events(_after: number, signal: AbortSignal): AsyncIterable<Buffer> {
      // Cut anywhere, as a network does.
      yield Buffer.from(text.slice(0, 70));
      yield Buffer.from(text.slice(70));
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    }
    const api = { events: (after: number, signal: AbortSignal) => Promise.resolve(events(after, signal)) };
    const sizes: number[] = [];
    for (let start = 0; start < 2; start++) {
      const feed = { api, issuer, toleranceMs: 60_000 };
      const one = openRevocations({ folder: join(folder, 'replay'), keepMs: 3_600_000, log, feed });
      await eventually('the feed is live', () => !one.isFeedLost(issuer));
      assert.equal(one.isRevoked(principal()), true);
      assert.equal(one.isRevoked(principal({ id: 'x', kind: 'api_key', issuedAt: at }, 'bob')), false);
      assert.equal(one.isRevoked(principal({ id: 'x', issuedAt: at }, 'bob')), true);
      await eventually('it is on disk', () => readdirSync(join(folder, 'replay')).length === 1);
      await one.close();
      const [file = ''] = readdirSync(join(folder, 'replay'));
      sizes.push(readFileSync(join(folder, 'replay', file)).length);
    }
    assert.equal(sizes[0], sizes[1]);
  });

  it('holds no credential and is for its owner alone', async () => {
    const one = opened('mode');
    await one.revoke([current({ credential: 'id-1' })]);
    const [file = ''] = readdirSync(join(folder, 'mode'));
    assert.match(
      readFileSync(join(folder, 'mode', file), 'utf8'),
      /^\n\{"issuer":"https:\/\/issuer.example","at":\d+,"until":\d+,"credential":"id-1"\}\n$/,
    );
    await one.close();
  });

  it('does not start on a folder that cannot be read', () => {
    writeFileSync(join(folder, 'file'), '');
    assert.throws(() => opened('file'));
  });
});
