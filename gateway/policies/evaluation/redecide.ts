// Makes a decision again under other policies, from what was recorded of it or from a request that has just ended. Asks
// claims, roles and rules; not the signature, the limits and the guards.
import type { IncomingHttpHeaders } from 'node:http';
import { GatewayError } from '../../../core/errors.ts';
import { invalidToken } from '../../authenticate/invalid-token.ts';
import { judgeClaims } from '../../authenticate/judge-claims.ts';
import { bodyWithFacts, type RequestFacts } from '../../request-facts.ts';
import type { Principal } from '../../principal.ts';
import { routeFor, type Evaluator } from './evaluate.ts';

/** What was asked, by whom, in which circumstances. */
export interface Asked {
  /** As it was authenticated then. */
  readonly principal: Principal;
  /** Claims that the record does not hold. */
  readonly omitted: readonly string[];
  /** Epoch ms. */
  readonly at: number;
  readonly route: string;
  readonly action: string;
  readonly model: string | null;
  readonly from: string;
  readonly facts: RequestFacts | null;
  /** Header fields of the request; a record does not hold them. */
  readonly headers?: IncomingHttpHeaders;
}

/** What other policies answer. */
export interface Redecision {
  readonly decision: 'permit' | 'deny';
  /** `permit`, `no_route`, or the code that the caller would get. */
  readonly code: string;
  readonly by: string | null;
  /** The private reason of a refusal; null for a permit. */
  readonly reason: string | null;
}

/** Answers anew. Keeps what the candidate makes of each principal, which thousands of decisions share. */
export function createRedecider(evaluator: Evaluator): (asked: Asked) => Redecision {
  const principals = new WeakMap<Principal, Principal | GatewayError>();
  const principalOf = (asked: Asked): Principal | GatewayError => {
    const known = principals.get(asked.principal);
    if (known !== undefined) return known;
    const judged = judgedAnew(asked, evaluator);
    principals.set(asked.principal, judged);
    return judged;
  };
  return (asked) => {
    const { action, model, from } = asked;
    // A renamed route is still the way to its action.
    const route =
      routeFor(evaluator.snapshot, asked) ?? routeFor(evaluator.snapshot, { action, route: null });
    if (route === undefined)
      return { decision: 'deny', code: 'no_route', by: null, reason: `no route has the action ${action}` };
    const principal = principalOf(asked);
    if (principal instanceof GatewayError) return refusedWith(principal, null);
    const { refusal, decidedBy } = evaluator.answer({
      credential: principal,
      action,
      route: route.name,
      model,
      request: asked.facts === null ? null : bodyWithFacts(asked.facts),
      headers: asked.headers ?? {},
      now: asked.at,
      from,
      brief: true,
    });
    return refusal === null
      ? { decision: 'permit', code: 'permit', by: decidedBy, reason: null }
      : refusedWith(refusal, decidedBy);
  };
}

function refusedWith({ code, reason }: GatewayError, by: string | null): Redecision {
  return { decision: 'deny', code, by, reason: reason ?? null };
}

/**
 * What the candidate's issuers.yaml makes of the claims of an access token; other credentials stay what they were.
 * Does not check: header, key and signature. A required claim that was not recorded counts as there.
 */
export function judgedAnew(
  { principal, omitted, at }: Pick<Asked, 'principal' | 'omitted' | 'at'>,
  { issuers }: Evaluator,
): Principal | GatewayError {
  if (principal.credential.kind !== 'access_token') return principal;
  const rules = issuers.get(principal.issuer);
  if (rules === undefined) return invalidToken('iss');
  const { claims } = principal;
  try {
    const kept = {
      ...rules,
      requiredClaims: rules.requiredClaims.filter(({ name }) => !omitted.includes(name)),
    };
    const accessToken = { algorithm: '', keyId: '', type: '', issuer: principal.issuer, claims };
    const judged = judgeClaims(accessToken, kept, at / 1_000);
    // Groups that the token only pointed to were looked up then.
    const areElsewhere = Object.hasOwn(claims, '_claim_names') || claims['hasgroups'] === true;
    return areElsewhere ? { ...judged, groups: principal.groups } : judged;
  } catch (error) {
    if (error instanceof GatewayError) return error;
    throw error;
  }
}
