// What a gateway remembers of its callers holds its bound, however many come (docs/decisions/0017-memory.md). The tables of
// access tokens, signatures and limits are tested beside their own files.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { Introspector } from '../../gateway/authenticate/introspection/introspector.ts';
import { invalidToken } from '../../gateway/authenticate/invalid-token.ts';
import { KnownRevocations } from '../../gateway/authenticate/revocations/known-revocations.ts';
import { SeenProofs } from '../../gateway/authenticate/seen-proofs.ts';
import { openAssertionSigner, type AssertionSubject } from '../../gateway/forward/assertion.ts';
import { anonymousPrincipal } from '../../gateway/principal.ts';

describe('what a gateway remembers', () => {
  it('of looked-up credentials: 4 MiB of answers and 4,096 refusals, under 120,000 of each', async () => {
    const introspector = new Introspector({
      ask: (credential) => Promise.resolve({ active: credential.startsWith('good'), sub: credential }),
      judge: (answer) => {
        if (answer['active'] !== true) throw invalidToken('inactive');
        return anonymousPrincipal(String(answer['sub']));
      },
      maxAgeMs: () => 60_000,
      negativeMs: 60_000,
      timeoutMs: 60_000,
      revocations: { generation: 0, isRevoked: () => false },
      now: () => 0,
      monotonic: () => 0,
      onOutcome: () => undefined,
      onProblem: () => undefined,
    });
    for (let index = 0; index < 120_000; index++) {
      await introspector.principalOf(`good ${index}`);
      await assert.rejects(async () => introspector.principalOf(`bad ${index}`));
      if (index % 10_000 > 0) continue;
      const { accepted, refused } = introspector.size;
      assert.ok(accepted <= 4_096 && refused <= 4_096, `${accepted} ${refused}`);
    }
    assert.ok(introspector.size.accepted > 1_000);
    assert.equal(introspector.size.refused, 4_096);
  });

  it('of revocations: 100,000 that end and 20,000 that do not, under 110,000 that end and 30,000 that do not', () => {
    const known = new KnownRevocations();
    const one = (credential: string, until: number | null) => ({
      issuer: 'https://issuer.test',
      credential,
      at: 1,
      until,
    });
    known.add(
      Array.from({ length: 110_000 }, (_, index) => one(`c${index}`, 1_000)),
      0,
    );
    known.add(
      Array.from({ length: 30_000 }, (_, index) => one(`l${index}`, null)),
      0,
    );
    assert.equal(known.size, 120_000);
  });

  it('of DPoP proofs: 100,000, under 120,000 of one and of many callers', () => {
    for (const holders of [1, 100]) {
      const seen = new SeenProofs({ windowMs: 90_000 });
      for (let index = 0; index < 120_000; index++) {
        seen.admit(
          { holder: `h${index % holders}`, jkt: 'k', jti: `${index}`, issuedAt: 1 + index / 100 },
          0,
        );
        assert.ok(seen.size <= 100_001);
      }
    }
  });

  it('of assertions: 6,000 callers have as many as fit, and one that comes when others rest has one, too', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sallyport-assertions-'));
    let now = 1_800_000_000_000;
    const signer = await openAssertionSigner({
      folder,
      jwksFile: join(folder, 'jwks.json'),
      now: () => now,
    });
    const subjectOf = (index: number): AssertionSubject => ({
      subject: `https://issuer.test ${index}`,
      clientId: 'cli',
      roles: new Set(['LLM.User']),
      credential: 'access_token',
      service: 'model-server',
    });
    // Twice each, since one that comes once is not kept at all.
    const signTwice = async (index: number): Promise<string> => {
      await signer.sign(subjectOf(index));
      return signer.sign(subjectOf(index));
    };
    const assertions: string[] = [];
    for (let index = 0; index < 6_000; index++) assertions.push(await signTwice(index));
    now += 1_000; // What is signed anew differs in `iat`.
    const isKept = async (index: number): Promise<boolean> =>
      (await signer.sign(subjectOf(index))) === assertions[index];
    let kept = 0;
    for (let index = 0; index < 6_000; index++) if (await isKept(index)) kept++;
    assert.ok(kept > 1_000 && kept <= 4_096, `${kept} are kept`);
    assert.equal(await isKept(0), true, 'one in use is not pushed out');
    assert.equal(await isKept(5_999), false, 'one that found no room is signed anew');

    now += 6_000; // All of them rest.
    assertions[5_999] = await signTwice(5_999);
    now += 1_000;
    assert.equal(await isKept(5_999), true);
    rmSync(folder, { recursive: true, force: true });
  });
});
