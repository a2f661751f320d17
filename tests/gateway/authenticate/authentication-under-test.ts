// Compiles an issuers.yaml for tests, with clocks that stand still unless moved and a log that is collected.
import assert from 'node:assert/strict';
import { pino } from 'pino';
import { GatewayError, type ErrorCode } from '../../../core/errors.ts';
import {
  compileIssuers,
  issuersSchema,
  type Authentication,
  type AuthenticationDeps,
} from '../../../gateway/authenticate/index.ts';
import type { Principal } from '../../../gateway/principal.ts';
import { testAudience, testClientId } from '../../support/mint-access-token.ts';

/** A clock that only the test moves. */
export class FrozenClock {
  wallMs: number;
  monotonicMs = 1_000_000;
  constructor(wallMs = Date.now()) {
    this.wallMs = wallMs;
  }
  readonly now = (): number => this.wallMs;
  readonly monotonic = (): number => this.monotonicMs;
  advance(ms: number): void {
    this.wallMs += ms;
    this.monotonicMs += ms;
  }
}

/** An entry of issuers.yaml that accepts what the fake issuer mints. */
export function entryFor(issuer: string, extra: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    issuer,
    audiences: [testAudience],
    client_ids: [testClientId],
    required_claims: { scp: { all: ['LLM.Access'] } },
    ...extra,
  };
}

export interface UnderTest {
  readonly authentication: Authentication;
  readonly clock: FrozenClock;
  readonly logLines: Record<string, unknown>[];
}

/** Compiles entries by name. */
export function authenticationOf(
  entries: Record<string, unknown>,
  deps: Partial<AuthenticationDeps> = {},
): UnderTest {
  const clock = new FrozenClock();
  const logLines: Record<string, unknown>[] = [];
  const log = pino({ base: null }, { write: (line: string) => void logLines.push(JSON.parse(line)) });
  const policy = issuersSchema.parse({ issuers: entries });
  const authentication = compileIssuers(policy, { log, now: clock.now, monotonic: clock.monotonic, ...deps });
  return { authentication, clock, logLines };
}

/** Awaits a refusal and checks its code and private reason. */
export async function assertRefused(verify: () => unknown, code: ErrorCode, reason?: string): Promise<void> {
  await refusalOf(verify, code, reason);
}

/** The same, for a closer look at the refusal. */
export async function refusalOf(
  verify: () => unknown,
  code: ErrorCode,
  reason?: string,
): Promise<GatewayError> {
  let refusal: unknown;
  try {
    await verify();
  } catch (error) {
    refusal = error;
  }
  assert.ok(refusal instanceof GatewayError, refusal instanceof Error ? refusal.stack : 'it was accepted');
  assert.equal(refusal.code, code, `reason ${String(refusal.reason)}`);
  if (reason !== undefined) assert.equal(refusal.reason, reason);
  return refusal;
}

/** Verifies, whether at once or later. */
export async function verified(authentication: Authentication, accessToken: string): Promise<Principal> {
  return await authentication.verify(accessToken);
}

/** The principal of an access token, kept from now on: it was seen for a second time. */
export async function kept(authentication: Authentication, accessToken: string): Promise<Principal> {
  await authentication.verify(accessToken);
  const principal = await authentication.verify(accessToken);
  assert.equal(authentication.seen(accessToken), principal);
  return principal;
}
