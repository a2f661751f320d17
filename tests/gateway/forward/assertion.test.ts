import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { decodeJwt, decodeProtectedHeader } from 'jose';
import { assertionAudience, createAssertionVerifier } from '../../../core/assertion.ts';
import type { InPlaceTime } from '../../../gateway/in-place-time.ts';
import { openAssertionSigner, type AssertionSubject } from '../../../gateway/forward/assertion.ts';

const root = mkdtempSync(join(tmpdir(), 'sallyport-assertion-'));
after(() => rmSync(root, { recursive: true, force: true }));
const alice: AssertionSubject = {
  subject: 'contoso|alice',
  clientId: 'client-1',
  roles: new Set(['LLM.User']),
  credential: 'access_token',
  service: 'model-server',
};

let count = 0;
function place(): { folder: string; jwksFile: string; keyFile: string } {
  const folder = join(root, String(count++), 'gateway');
  return {
    folder,
    jwksFile: join(folder, '..', 'run', 'jwks.json'),
    keyFile: join(folder, 'assertion-key.json'),
  };
}

describe('the identity assertion', () => {
  it('verifies at the service it is for and says who, with which client and roles', async () => {
    const { folder, jwksFile } = place();
    const signer = await openAssertionSigner({ folder, jwksFile });
    const assertion = await signer.sign(alice);
    const verify = createAssertionVerifier({ jwksFile, audience: assertionAudience.modelServer });
    assert.deepEqual(await verify(assertion), {
      subject: 'contoso|alice',
      clientId: 'client-1',
      roles: ['LLM.User'],
      credential: 'access_token',
    });
    const { iat = 0, exp = 0 } = decodeJwt(assertion);
    assert.equal(exp - iat, 60);
  });

  it('is worthless at another service', async () => {
    const { folder, jwksFile } = place();
    const signer = await openAssertionSigner({ folder, jwksFile });
    const verify = createAssertionVerifier({ jwksFile, audience: assertionAudience.identity });
    assert.equal(await verify(await signer.sign(alice)), null);
  });

  it('of each of several gateways verifies where a file of each is listed, also of one that starts later', async () => {
    const [one, two, later] = [place(), place(), place()];
    const jwksFile = [one, two, later].map((each) => each.jwksFile);
    const audience = assertionAudience.modelServer;
    let now = Date.now();
    const verify = createAssertionVerifier({ jwksFile, audience, now: () => now });
    for (const each of [one, two, later]) {
      const assertion = await (await openAssertionSigner(each)).sign(alice);
      now += 1_100; // Files are read again at most once a second.
      assert.equal((await verify(assertion))?.subject, alice.subject);
    }
    const stranger = await (await openAssertionSigner(place())).sign(alice);
    assert.equal(await verify(stranger), null);
  });

  it('verifies although another gateway’s file is damaged', async () => {
    const [one, two] = [place(), place()];
    const assertion = await (await openAssertionSigner(one)).sign(alice);
    await openAssertionSigner(two);
    const audience = assertionAudience.modelServer;
    for (const damaged of ['', '{"keys":', '{"keys":7}', '[]', '{"keys":[null]}']) {
      writeFileSync(two.jwksFile, damaged);
      const verify = createAssertionVerifier({ jwksFile: [two.jwksFile, one.jwksFile], audience });
      assert.equal((await verify(assertion))?.subject, alice.subject, damaged);
    }
  });

  it('is worthless with the key of another gateway, after its time, changed, or with another algorithm', async () => {
    const one = place();
    const two = place();
    const signer = await openAssertionSigner(one);
    await openAssertionSigner(two);
    const assertion = await signer.sign(alice);
    const audience = assertionAudience.modelServer;
    assert.equal(await createAssertionVerifier({ jwksFile: two.jwksFile, audience })(assertion), null);
    assert.equal(
      await createAssertionVerifier({ jwksFile: one.jwksFile, audience, now: () => Date.now() + 70_000 })(
        assertion,
      ),
      null,
    );
    const [header, , signature] = assertion.split('.');
    const forged = Buffer.from(JSON.stringify({ ...decodeJwt(assertion), sub: 'root' })).toString(
      'base64url',
    );
    const verify = createAssertionVerifier({ jwksFile: one.jwksFile, audience });
    assert.equal(await verify(`${header}.${forged}.${signature}`), null);
    const none = Buffer.from(JSON.stringify({ ...decodeProtectedHeader(assertion), alg: 'none' })).toString(
      'base64url',
    );
    assert.equal(await verify(`${none}.${assertion.split('.')[1]}.`), null);
    assert.equal(await verify(undefined), null);
  });

  it('is signed once per principal, client, roles, kind of credential and service until 20 s before it expires', async () => {
    let now = 1_800_000_000_000;
    const signer = await openAssertionSigner({ ...place(), now: () => now });
    const [first, second] = await Promise.all([
      Promise.resolve(signer.sign(alice)),
      Promise.resolve(signer.sign(alice)),
    ]);
    assert.equal(first, second);
    assert.equal(signer.sign(alice), first);
    const others: AssertionSubject[] = [
      { ...alice, subject: 'contoso|bob' },
      { ...alice, clientId: null },
      { ...alice, roles: new Set(['LLM.User', 'LLM.Admin']) },
      { ...alice, roles: new Set(['LLM.User","LLM.Admin']) },
      { ...alice, credential: 'api_key' },
      { ...alice, service: 'identity' },
    ];
    const signed = await Promise.all(others.map(async (other) => signer.sign(other)));
    assert.equal(new Set([first, ...signed]).size, 7);
    now += 39_000;
    assert.equal(signer.sign(alice), first);
    now += 2000;
    assert.notEqual(await signer.sign(alice), first);
  });

  it('is kept from the second sight of its subject on: of whoever comes once nothing stays', async () => {
    let signatures = 0;
    const counting: Pick<InPlaceTime, 'spend'> = {
      spend(work) {
        signatures++;
        return work();
      },
    };
    const signer = await openAssertionSigner({ ...place(), inPlace: counting as InPlaceTime });
    await signer.sign(alice);
    await signer.sign({ ...alice, subject: 'contoso|bob' });
    assert.equal(signatures, 2);
    for (let again = 0; again < 5; again++) await signer.sign(alice);
    assert.equal(signatures, 3);
  });

  it('tells apart who asks in turn under one subject, however often each is asked for', async () => {
    const signer = await openAssertionSigner(place());
    const others: AssertionSubject[] = [
      alice,
      { ...alice, clientId: 'other' },
      { ...alice, credential: 'api_key' },
      { ...alice, roles: new Set(['LLM.Admin']) },
      { ...alice, service: 'identity' },
    ];
    const first = await Promise.all(others.map(async (other) => signer.sign(other)));
    assert.equal(new Set(first).size, others.length);
    for (let round = 0; round < 4; round++)
      assert.deepEqual(await Promise.all(others.map(async (other) => signer.sign(other))), first);
    // The same roles in another set, as after a swap of the policies.
    assert.equal(await signer.sign({ ...alice, roles: new Set(alice.roles) }), first[0]);
  });

  it('is as good when the thread pool signs it, and signed once for all who ask meanwhile', async () => {
    const where = place();
    const inPlace = { spend: () => null } as unknown as InPlaceTime; // Its one method: there is never time.
    const signer = await openAssertionSigner({ ...where, inPlace });
    const pending = signer.sign(alice);
    assert.ok(pending instanceof Promise);
    assert.equal(signer.sign(alice), pending);
    const assertion = await pending;
    assert.equal(signer.sign(alice), assertion);
    const audience = assertionAudience.modelServer;
    const verify = createAssertionVerifier({ jwksFile: where.jwksFile, audience });
    assert.equal((await verify(assertion))?.subject, alice.subject);
  });

  it('is signed anew when the clock was set back', async () => {
    let now = 1_800_000_000_000;
    const signer = await openAssertionSigner({ ...place(), now: () => now });
    const first = await signer.sign(alice);
    for (let again = 0; again < 3; again++) assert.equal(signer.sign(alice), first);
    now -= 600_000;
    assert.notEqual(await signer.sign(alice), first);
  });
});

describe('the key of the assertions', () => {
  it('is private, survives a restart, and only its public half is published', async () => {
    const { folder, jwksFile, keyFile } = place();
    const before = await openAssertionSigner({ folder, jwksFile });
    const assertion = await before.sign(alice);
    assert.equal(statSync(keyFile).mode & 0o777, 0o600);
    assert.equal(statSync(folder).mode & 0o777, 0o700);
    assert.equal(statSync(jwksFile).mode & 0o777, 0o644);
    assert.equal(statSync(join(jwksFile, '..')).mode & 0o777, 0o700);
    const published = JSON.parse(readFileSync(jwksFile, 'utf8'));
    assert.deepEqual(Object.keys(published.keys[0]).sort(), ['alg', 'crv', 'kid', 'kty', 'use', 'x']);
    await openAssertionSigner({ folder, jwksFile });
    assert.ok(
      await createAssertionVerifier({ jwksFile, audience: assertionAudience.modelServer })(assertion),
    );
  });

  it('is one for all processes that start at once', async () => {
    const { folder, jwksFile } = place();
    const signers = await Promise.all(
      Array.from({ length: 8 }, () => openAssertionSigner({ folder, jwksFile })),
    );
    const verify = createAssertionVerifier({ jwksFile, audience: assertionAudience.modelServer });
    for (const signer of signers) assert.ok(await verify(await signer.sign(alice)));
  });

  it('is refused when others may read it', async () => {
    const where = place();
    await openAssertionSigner(where);
    chmodSync(where.keyFile, 0o644);
    await assert.rejects(openAssertionSigner(where), /chmod 600/);
  });

  for (const [title, text] of [
    ['is cut', '{"kty":'],
    ['is of another kind', '{"kty":"RSA"}'],
    [
      'is only the public half',
      '{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}',
    ],
    ['holds nonsense', '{"kty":"OKP","crv":"Ed25519","x":"AA","d":"AA"}'],
  ] as const) {
    it(`is refused with the way out, and nothing is published, when it ${title}`, async () => {
      const where = place();
      await openAssertionSigner(where);
      rmSync(where.jwksFile);
      writeFileSync(where.keyFile, text);
      await assert.rejects(openAssertionSigner(where), /delete it/);
      assert.equal(existsSync(where.jwksFile), false);
    });
  }
});
