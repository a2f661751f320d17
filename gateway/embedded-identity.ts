// How a gateway process is tied to the embedded identity: the address at which it asks, the assertion with which it speaks
// for itself, and what it learns of revocations.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gatewaySubject } from '../core/assertion.ts';
import type { Logger } from '../core/log.ts';
import {
  createIdentityApi,
  openRevocations,
  type IdentityApi,
  type Revocations,
} from './authenticate/index.ts';
import type { GatewayConfig } from './config.ts';
import type { AssertionSigner } from './forward/assertion.ts';
import { parseUpstreamUrl } from './forward/upstream-address.ts';

/** The embedded identity's API; null when there is no embedded identity, or its address is not known. */
export function identityApiOf(config: GatewayConfig, signer: AssertionSigner): IdentityApi | null {
  const { embedded_identity: identity } = config;
  if (identity === undefined) return null;
  return createIdentityApi({
    ...parseUpstreamUrl(identity.url),
    ca: identity.ca === undefined ? undefined : readFileSync(identity.ca, 'utf8'),
    sign: () =>
      signer.sign({
        subject: gatewaySubject,
        clientId: null,
        roles: new Set(),
        credential: 'none',
        service: 'identity',
      }),
  });
}

/** What revocations are learnt through. */
export interface RevocationParts {
  readonly identityApi: IdentityApi | null;
  readonly redisUrl: string | null;
  readonly log: Logger;
}

/** Opens every source of revocations that is configured. @throws Error when their folder cannot be read */
export function revocationsOf(
  config: GatewayConfig,
  { identityApi, redisUrl, log }: RevocationParts,
): Revocations {
  const { embedded_identity: identity, embedded_issuer: issuer } = config;
  const toleranceMs = identity?.tolerate_feed_loss ?? 0;
  return openRevocations({
    folder: join(config.data, 'revocations'),
    keepMs: config.revocations.keep,
    ...(redisUrl === null ? {} : { redisUrl }),
    ...(identityApi === null || issuer === undefined
      ? {}
      : { feed: { api: identityApi, issuer, toleranceMs } }),
    log,
  });
}
