// The identity assertion with which the gateway vouches for a request towards an internal service (model server,
// identity): a short-lived EdDSA JWT in its own header. Signing lives in gateway/forward, verification here because
// two servers that may not import each other need the same rule.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createLocalJWKSet, jwtVerify, type JSONWebKeySet, type JWK, type JWTVerifyGetKey } from 'jose';
import { z } from 'zod';

/** Header that carries the assertion; never `Authorization`, so that no caller's credential can be taken for it. */
export const assertionHeader = 'sallyport-assertion';
/** `typ` of the JWT. */
export const assertionType = 'sallyport-assertion+jwt';
/** `iss` of the JWT. */
export const assertionIssuer = 'urn:sallyport:gateway';
/** `sub` of the assertion with which a gateway speaks for itself and for no principal. */
export const gatewaySubject = 'urn:sallyport:gateway';
/** The one signature algorithm. */
export const assertionAlgorithm = 'EdDSA';
/** Lifetime given at signing, seconds. */
export const assertionLifetimeSeconds = 60;

/** `aud` values: one per internal service, so that an assertion for one is worthless at another. */
export const assertionAudience = {
  modelServer: 'urn:sallyport:model-server',
  identity: 'urn:sallyport:identity',
} as const;

/** Schema of the setting that says where the public keys lie: one file for each gateway. */
export const publicKeyFiles = z.union([z.string().min(1), z.array(z.string().min(1)).min(1)], {
  error: 'one file, or a list of files, one for each gateway',
});

/** Whom the gateway vouches for. */
export interface AssertedPrincipal {
  /** Key of the principal: issuer and subject in one string. */
  readonly subject: string;
  /** Effective roles at the gateway. */
  readonly roles: readonly string[];
  readonly clientId: string | null;
  /** How the principal was shown, e.g. `access_token` or `api_key`; null when the gateway did not say. */
  readonly credential: string | null;
}

/** The principal of an assertion, or null when it is absent or not good. */
export type VerifyAssertion = (assertion: string | undefined) => Promise<AssertedPrincipal | null>;

/**
 * Creates a verifier against the public keys that a gateway writes to `jwksFile`; several gateways have a file each.
 * Checks: EdDSA signature, typ, iss, aud, exp and iat present and fresh, sub.
 * Does not check: what the principal may do (the gateway decided that).
 * The files are read again when a key is unknown; verified assertions are cached by hash until they expire.
 */
export function createAssertionVerifier(options: {
  jwksFile: string | readonly string[];
  audience: string;
  now?: () => number;
}): VerifyAssertion {
  const now = options.now ?? Date.now;
  const cache = new Map<string, { principal: AssertedPrincipal; expiresAtMs: number }>();
  let keys: JWTVerifyGetKey | undefined;
  let readAtMs = 0;

  const load = (): JWTVerifyGetKey | undefined => {
    const read = [options.jwksFile].flat().flatMap((file) => readKeys(file));
    keys = read.length === 0 ? undefined : createLocalJWKSet({ keys: read });
    readAtMs = now();
    return keys;
  };

  const verify = async (
    assertion: string,
  ): Promise<{ principal: AssertedPrincipal; expiresAtMs: number } | null> => {
    const key = keys ?? load();
    if (key === undefined) return null;
    const { payload } = await jwtVerify(assertion, key, {
      algorithms: [assertionAlgorithm],
      typ: assertionType,
      issuer: assertionIssuer,
      audience: options.audience,
      requiredClaims: ['exp', 'iat', 'sub'],
      maxTokenAge: assertionLifetimeSeconds + 5,
      clockTolerance: 5,
      currentDate: new Date(now()),
    });
    const roles = payload['roles'];
    const clientId = payload['client_id'];
    const credential = payload['credential'];
    if (
      payload.sub === undefined ||
      !Array.isArray(roles) ||
      !roles.every((role) => typeof role === 'string')
    )
      return null;
    const principal = {
      subject: payload.sub,
      roles,
      clientId: typeof clientId === 'string' ? clientId : null,
      credential: typeof credential === 'string' ? credential : null,
    };
    return { principal, expiresAtMs: (payload.exp ?? 0) * 1000 };
  };

  return async (assertion) => {
    if (assertion === undefined || assertion.length > 4096) return null;
    const hash = createHash('sha256').update(assertion).digest('base64');
    const known = cache.get(hash);
    if (known !== undefined && known.expiresAtMs > now()) return known.principal;
    let verified = await verify(assertion).catch(() => null);
    if (verified === null && now() - readAtMs > 1000) {
      load();
      verified = await verify(assertion).catch(() => null);
    }
    if (verified === null) return null;
    if (cache.size >= 10_000) cache.clear();
    cache.set(hash, verified);
    return verified.principal;
  };
}

/** The keys of one file; none while it is not there yet or cannot be read. */
function readKeys(file: string): JWK[] {
  try {
    const set = JSON.parse(readFileSync(file, 'utf8')) as JSONWebKeySet; // jose checks what it holds.
    createLocalJWKSet(set);
    return set.keys;
  } catch {
    return [];
  }
}
