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
import {
  followIdentityTuples,
  tuplesIn,
  type IdentityTuples,
} from './authorize/relations/identity-tuples.ts';
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

/** The relations that the embedded identity holds; null where they do not count. */
export function identityTuplesOf(
  config: GatewayConfig,
  { identityApi, log }: { readonly identityApi: IdentityApi | null; readonly log: Logger },
): IdentityTuples | null {
  const { relations, embedded_identity: identity } = config;
  if (relations.engine !== 'embedded' || !relations.identity || identityApi === null) return null;
  return followIdentityTuples({
    fetch: async (etag, signal) => {
      const answer = await identityApi.relations(etag, signal);
      return answer === null ? null : { etag: answer.etag, tuples: tuplesIn(answer.document) };
    },
    toleranceMs: identity?.tolerate_feed_loss ?? 0,
    log,
  });
}

/** What revocations are learnt through. */
export interface RevocationParts {
  readonly identityApi: IdentityApi | null;
  readonly redisUrl: string | null;
  /** Told when relations have changed. */
  readonly identityTuples: IdentityTuples | null;
  readonly log: Logger;
}

/** Opens every source of revocations that is configured. @throws Error when their folder cannot be read */
export function revocationsOf(
  config: GatewayConfig,
  { identityApi, redisUrl, identityTuples, log }: RevocationParts,
): Revocations {
  const { embedded_identity: identity, embedded_issuer: issuer } = config;
  const toleranceMs = identity?.tolerate_feed_loss ?? 0;
  return openRevocations({
    folder: join(config.data, 'revocations'),
    keepMs: config.revocations.keep,
    ...(redisUrl === null ? {} : { redisUrl }),
    ...(identityApi === null || issuer === undefined
      ? {}
      : {
          feed: {
            api: identityApi,
            issuer,
            toleranceMs,
            ...(identityTuples === null ? {} : { onRelationsChanged: () => identityTuples.changed() }),
          },
        }),
    log,
  });
}
