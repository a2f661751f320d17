// The keys of one JWKS document that may verify access tokens. Whatever is odd in it is left out without breaking the
// good ones.
import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import { isFactorable } from './factorable-key.ts';
import { tenantPlaceholder } from './issuer-url.ts';
import type { SignatureAlgorithm } from './issuers-policy.ts';
import { isQuick } from './signature.ts';

/** One public key of an issuer; the same object as long as the issuer lists the same key. */
export interface IssuerKey {
  readonly keyId: string;
  /** RFC 8725 §3.2: one algorithm for each key. */
  readonly algorithm: SignatureAlgorithm;
  readonly key: KeyObject;
  /** Whether a check with it may be done in place (signature.ts). */
  readonly isQuick: boolean;
  /** SHA-256 of the key itself. */
  readonly fingerprint: string;
  /** Entra: the only tenant whose access tokens it verifies; null: every one of the key set. */
  readonly tenantId: string | null;
}

/** A JWKS document of which only public members are left (publicDocument). */
export interface KeyDocument {
  readonly keys: readonly Readonly<Record<string, unknown>>[];
}

/** What a key has to be. */
export interface KeyRequirements {
  /** In order: a key that names no `alg` serves the first one of its kind. */
  readonly algorithms: readonly SignatureAlgorithm[];
  /** Entra: what a key's own `issuer` may name; null ignores that member. */
  readonly keyIssuers: KeyIssuers | null;
}

/** Accepted tenants, and the forms of `issuer` with `{tenantid}` in the place of the tenant. */
export interface KeyIssuers {
  readonly tenants: readonly string[];
  readonly templates: readonly string[];
}

const maxKeys = 200;
const curves: Readonly<Record<string, string>> = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' };
const publicMembers = ['kty', 'kid', 'alg', 'use', 'key_ops', 'n', 'e', 'crv', 'x', 'y', 'issuer'];

/**
 * Reads the usable keys of a JWKS document by `kid`.
 * Checks: kid, kty and curve for a listed algorithm, use and key_ops, RSA of 2048 to 8192 bits that nobody can factor
 * (factorable-key.ts), no private or symmetric key, Entra's key issuer; of two keys with one kid the one already known stays, else the first.
 * Does not check: x5c, x5t (keys are believed because they come from the issuer's address).
 */
export function readIssuerKeys(
  document: KeyDocument,
  requirements: KeyRequirements,
  known: ReadonlyMap<string, IssuerKey>,
): ReadonlyMap<string, IssuerKey> {
  const keys = new Map<string, IssuerKey>();
  for (const entry of document.keys) {
    const key = readKey(entry, requirements);
    if (key === null) continue;
    const before = known.get(key.keyId);
    const isKnown =
      before?.fingerprint === key.fingerprint &&
      before.algorithm === key.algorithm &&
      before.tenantId === key.tenantId;
    if (isKnown) keys.set(key.keyId, before);
    else if (!keys.has(key.keyId)) keys.set(key.keyId, key);
  }
  return keys;
}

/** The public members of the first 200 keys of a fetched document: all that is looked at, and kept on disk. */
export function publicDocument(document: Readonly<Record<string, unknown>>): {
  keys: Record<string, unknown>[];
} {
  const entries: unknown[] = Array.isArray(document['keys']) ? document['keys'] : [];
  const keys = entries
    .filter((entry) => isObject(entry))
    .slice(0, maxKeys)
    .filter((entry) => !Object.hasOwn(entry, 'd') && !Object.hasOwn(entry, 'k'))
    .map((entry) =>
      Object.fromEntries(
        publicMembers.filter((name) => Object.hasOwn(entry, name)).map((name) => [name, entry[name]]),
      ),
    );
  return { keys };
}

function readKey(
  entry: Readonly<Record<string, unknown>>,
  { algorithms, keyIssuers }: KeyRequirements,
): IssuerKey | null {
  if (!isForVerifying(entry)) return null;
  const { kid } = entry;
  if (typeof kid !== 'string' || kid === '') return null;
  const tenant = keyIssuers === null ? anyTenant : tenantServed(entry['issuer'], keyIssuers);
  if (tenant === null) return null;
  const algorithm = algorithms.find((candidate) => fits(entry, candidate));
  if (algorithm === undefined) return null;
  const key = importKey(entry);
  if (key === null || !isStrong(key)) return null;
  if (key.asymmetricKeyType === 'rsa' && isFactorable(String(entry['n']))) return null;
  const fingerprint = createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest('base64url');
  return { keyId: kid, algorithm, key, isQuick: isQuick(key), fingerprint, tenantId: tenant.id };
}

// RFC 7517 §4.2, §4.3: a key that says what it is for is used for nothing else. A private key that was published is
// known to everybody.
function isForVerifying(entry: Readonly<Record<string, unknown>>): boolean {
  const { use, key_ops: operations } = entry;
  if (use !== undefined && use !== 'sig') return false;
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify'))) return false;
  return !Object.hasOwn(entry, 'd') && !Object.hasOwn(entry, 'k');
}

function fits(entry: Readonly<Record<string, unknown>>, algorithm: SignatureAlgorithm): boolean {
  const { alg, kty, crv } = entry;
  if (alg !== undefined && alg !== algorithm) return false;
  if (algorithm.startsWith('E')) {
    const curve = curves[algorithm];
    return curve === undefined ? kty === 'OKP' && crv === 'Ed25519' : kty === 'EC' && crv === curve;
  }
  return kty === 'RSA';
}

function importKey(entry: Readonly<Record<string, unknown>>): KeyObject | null {
  try {
    // The members that Node reads are checked by Node; anything else in the entry is ignored.
    return createPublicKey({ key: entry, format: 'jwk' });
  } catch {
    return null;
  }
}

// RFC 7518 §3.3: RSA keys have 2048 bits or more. Very large ones would make verification an attack on us.
function isStrong(key: KeyObject): boolean {
  if (key.asymmetricKeyType !== 'rsa') return true;
  const { modulusLength = 0, publicExponent = 0n } = { ...key.asymmetricKeyDetails };
  return (
    modulusLength >= 2048 &&
    modulusLength <= 8192 &&
    publicExponent >= 3n &&
    publicExponent % 2n === 1n &&
    publicExponent < 2n ** 33n
  );
}

interface TenantServed {
  readonly id: string | null;
}
const anyTenant: TenantServed = { id: null };

// Entra: a key whose `issuer` names a tenant serves that tenant alone; `{tenantid}` stands for any. Null: none of ours.
function tenantServed(keyIssuer: unknown, { tenants, templates }: KeyIssuers): TenantServed | null {
  if (keyIssuer === undefined) return anyTenant;
  if (typeof keyIssuer !== 'string') return null;
  if (templates.includes(keyIssuer)) return anyTenant;
  const id = tenants.find((tenant) =>
    templates.some((template) => template.replace(tenantPlaceholder, tenant) === keyIssuer),
  );
  return id === undefined ? null : { id };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
