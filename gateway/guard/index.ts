// Fifth stage: is this content allowed, are the parameters within their ceilings. The types of the parameters that
// decide are checked on every judged body; the guards that the route names follow in the order in which it names them.
import { GatewayError } from '../../core/errors.ts';
import type { Authorized, Guarded, Limited, RequestBody } from '../exchange.ts';
import type { Obligations } from '../authorize/index.ts';
import type { Guards } from './compiled-guards.ts';
import type { Objection } from './guard.ts';
import { ceilingObjection } from './parameter-ceilings.ts';
import { checkParameterTypes } from './parameter-types.ts';

export { compileGuards, guardKinds, type Guards } from './compiled-guards.ts';
export { guardsSchema, type GuardsPolicy } from './guards-policy.ts';

/**
 * Runs the guards of the route on the parsed body, then those that rules oblige to, then their ceilings.
 * Checks: parameter types; every guard that the route or a rule names; ceilings of rules. Does not check: who asks (authorize), answers of the model.
 */
export function guard(limited: Limited): Guarded {
  const guarded = limited as Limited & { guarded: true }; // Filled in place: see exchange.ts.
  const { body, route, snapshot } = limited;
  if (body !== null) {
    checkParameterTypes(body.json, route);
    for (const name of route.guards) runGuard(name, snapshot.guards, body);
    const { obligations } = limited.effective;
    if (obligations !== null) runObligations(obligations, limited, body);
  }
  guarded.guarded = true;
  return guarded;
}

function runObligations(
  { guards, ceilingTest }: Obligations,
  { route, snapshot }: Limited,
  body: RequestBody,
): void {
  for (const name of guards) if (!route.guards.includes(name)) runGuard(name, snapshot.guards, body);
  if (ceilingTest !== null) refuse('obligations.ceilings', ceilingObjection(ceilingTest, body.json));
}

function runGuard(name: string, guards: Guards, body: RequestBody): void {
  const compiled = guards.byName.get(name);
  // The loader refuses routes with unknown guards; should one get here, nothing passes.
  if (compiled === undefined)
    throw new GatewayError('content_blocked', { reason: `guards.${name} is unknown` });
  refuse(`guards.${name}`, compiled.check(body.json, body.isPlain));
}

/** `by` is what objects, for the private reason. */
function refuse(by: string, objection: Objection | null): void {
  if (objection === null) return;
  throw new GatewayError(objection.code, {
    params: objection.params ?? {},
    reason: `${by}: ${objection.reason}`,
    ...(objection.param === undefined ? {} : { param: objection.param }),
  });
}

/**
 * Refuses a body with a parameter above a ceiling of its route or of a rule; nothing else is looked at. For a refusal on
 * the way here that would tell the caller to come again with what is never accepted.
 */
export function refuseAboveCeiling({ body, route, snapshot, effective }: Authorized): void {
  if (body === null) return;
  checkParameterTypes(body.json, route);
  for (const name of route.guards) {
    const objection = snapshot.guards.byName.get(name)?.check(body.json) ?? null;
    if (objection?.code === 'parameter_above_ceiling') refuse(`guards.${name}`, objection);
  }
  const { obligations } = effective;
  if (obligations?.ceilingTest != null)
    refuse('obligations.ceilings', ceilingObjection(obligations.ceilingTest, body.json));
}
