// Signs the identity assertion with which the gateway vouches for a request towards an internal service, and publishes
// its public key for them. Signing costs tens of microseconds, so an assertion is kept per principal and audience and
// used until 20 s before it expires.
import { createPrivateKey, randomBytes, sign as signBytes, type KeyObject } from 'node:crypto';
import {
  chmodSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK } from 'jose';
import {
  assertionAlgorithm,
  assertionAudience,
  assertionIssuer,
  assertionLifetimeSeconds,
  assertionType,
} from '../../core/assertion.ts';
import { inPlaceTime, type InPlaceTime } from '../in-place-time.ts';
import type { Credential } from '../principal.ts';
import { KeptAssertions, nameOf } from './kept-assertions.ts';

/** Whom an assertion vouches for, and towards which service. */
export interface AssertionSubject {
  /** The principal's key. */
  readonly subject: string;
  readonly clientId: string | null;
  /** Effective roles. */
  readonly roles: ReadonlySet<string>;
  /** How the principal was shown: what a service must not do for an API key, it can refuse. */
  readonly credential: Credential['kind'];
  readonly service: 'model-server' | 'identity';
}

/** Signs assertions. */
export interface AssertionSigner {
  /** At once when a fresh assertion is kept, else after signing one. */
  sign(subject: AssertionSubject): string | Promise<string>;
}

/** Where the key and its public half lie. */
export interface AssertionSignerOptions {
  /** Folder that holds `assertion-key.json`. */
  readonly folder: string;
  /** File that internal services read the public key from. */
  readonly jwksFile: string;
  readonly now?: () => number;
  /** What may be signed in place; default: what this process has. */
  readonly inPlace?: InPlaceTime;
}

const audiences = {
  'model-server': assertionAudience.modelServer,
  identity: assertionAudience.identity,
} as const;
/**
 * Reads or creates the signing key and publishes the public one.
 * Checks: the key file is readable by its owner only, and holds an Ed25519 key.
 * @throws Error that names the file and what to do.
 */
export async function openAssertionSigner(options: AssertionSignerOptions): Promise<AssertionSigner> {
  const now = options.now ?? Date.now;
  const inPlace = options.inPlace ?? inPlaceTime;
  const file = join(options.folder, 'assertion-key.json');
  const jwk = readKey(file) ?? (await createKey(file));
  const { key, kid } = await importKey(jwk, file);
  publish(options.jwksFile, {
    kty: jwk.kty,
    crv: jwk.crv,
    x: jwk.x,
    kid,
    use: 'sig',
    alg: assertionAlgorithm,
  });
  const kept = new KeptAssertions(now);
  const pending = new Map<string, Promise<string>>();

  // By Node itself: half of the processor time of WebCrypto.
  const header = base64url({ alg: assertionAlgorithm, typ: assertionType, kid });
  const inputFor = (subject: AssertionSubject, issuedAt: number): string => {
    const claims = base64url({
      client_id: subject.clientId,
      roles: [...subject.roles],
      credential: subject.credential,
      iss: assertionIssuer,
      aud: audiences[subject.service],
      sub: subject.subject,
      iat: issuedAt,
      exp: issuedAt + assertionLifetimeSeconds,
    });
    return `${header}.${claims}`;
  };
  const signNew = (subject: AssertionSubject, isKept: boolean): string | Promise<string> => {
    const issuedAt = Math.floor(now() / 1000);
    const input = inputFor(subject, issuedAt);
    const bytes = Buffer.from(input, 'latin1');
    const assertionOf = (signature: Buffer): string => `${input}.${signature.toString('base64url')}`;
    const signed = inPlace.spend(() => signBytes(null, bytes, key));
    if (signed !== null) {
      const assertion = assertionOf(signed);
      if (isKept) kept.keep(nameOf(subject), subject, { assertion, issuedAt });
      return assertion;
    }
    // Others may ask while it is signed, so it has a name and is kept.
    const name = nameOf(subject);
    const signing = inThreadPool(bytes, key)
      .then((signature) => {
        const assertion = assertionOf(signature);
        kept.keep(name, subject, { assertion, issuedAt });
        return assertion;
      })
      .finally(() => pending.delete(name));
    pending.set(name, signing);
    return signing;
  };
  return {
    sign(subject) {
      const latest = kept.latest(subject);
      if (latest !== null) return latest;
      const hasCome = kept.came(subject);
      if (!hasCome && pending.size === 0) return signNew(subject, false);
      const name = nameOf(subject);
      return kept.find(name, subject) ?? pending.get(name) ?? signNew(subject, hasCome);
    },
  };
}

function readKey(file: string): JWK | null {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    // A cast at the border to Node's error shape.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new Error(`${file} cannot be read (${(error as NodeJS.ErrnoException).code ?? 'error'})`, {
      cause: error,
    });
  }
  if ((statSync(file).mode & 0o077) !== 0)
    throw new Error(`${file} is readable by others; run: chmod 600 ${file}`);
  try {
    // importKey checks what the text holds.
    return JSON.parse(text) as JWK;
  } catch (error) {
    throw new Error(`${file} is not a key; delete it and the gateway makes a new one at its next start`, {
      cause: error,
    });
  }
}

async function createKey(file: string): Promise<JWK> {
  const { privateKey } = await generateKeyPair(assertionAlgorithm, { extractable: true });
  const jwk = await exportJWK(privateKey);
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const draft = `${file}.${randomBytes(6).toString('hex')}`;
  writeFileSync(draft, JSON.stringify(jwk), { mode: 0o600, flag: 'wx' });
  try {
    // A link fails when the file exists: of several processes that start at once, all use the key of the first.
    linkSync(draft, file);
    return jwk;
  } catch (error) {
    const first = (error as NodeJS.ErrnoException).code === 'EEXIST' ? readKey(file) : null;
    if (first === null) throw new Error(`${file} cannot be created`, { cause: error });
    return first;
  } finally {
    rmSync(draft, { force: true });
  }
}

const base64url = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** RFC 8037 §3.1: the Ed25519 signature of the signing input. */
function inThreadPool(input: Buffer, key: KeyObject): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    signBytes(null, input, key, (error, signature) => {
      if (error === null) resolve(signature);
      else reject(error);
    });
  });
}

async function importKey(jwk: JWK, file: string): Promise<{ key: KeyObject; kid: string }> {
  const key = jwk.kty === 'OKP' && jwk.crv === 'Ed25519' && jwk.d !== undefined ? privateKeyOf(jwk) : null;
  if (key === null) {
    throw new Error(
      `${file} is not an Ed25519 key; delete it and the gateway makes a new one at its next start`,
    );
  }
  return { key, kid: await calculateJwkThumbprint(jwk) };
}

function privateKeyOf(jwk: JWK): KeyObject | null {
  try {
    return createPrivateKey({ key: jwk, format: 'jwk' });
  } catch {
    return null;
  }
}

function publish(file: string, publicKey: Readonly<Record<string, unknown>>): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const draft = `${file}.${randomBytes(6).toString('hex')}`;
  writeFileSync(draft, JSON.stringify({ keys: [publicKey] }), { mode: 0o644 });
  chmodSync(draft, 0o644);
  // Renaming is atomic: a reader sees the old set or the new one, never half of it.
  renameSync(draft, file);
}
