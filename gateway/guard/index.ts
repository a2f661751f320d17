// Fifth stage: is this content allowed, are the parameters within their ceilings. The types of the parameters that
// decide are checked on every judged body; the guards that the route names follow in the order in which it names them.
import { GatewayError } from '../../core/errors.ts';
import type { Guarded, Limited } from '../exchange.ts';
import type { Guards } from './compiled-guards.ts';
import { checkParameterTypes } from './parameter-types.ts';

export { compileGuards, guardKinds, type Guards } from './compiled-guards.ts';
export { guardsSchema, type GuardsPolicy } from './guards-policy.ts';

/**
 * Runs the guards of the route on the parsed body.
 * Checks: parameter types; every guard that the route names. Does not check: who asks (authorize), answers of the model.
 */
export function guard(limited: Limited): Guarded {
  const guarded = limited as Limited & { guarded: true }; // Filled in place: see exchange.ts.
  const { body, route, snapshot } = limited;
  if (body !== null) {
    checkParameterTypes(body.json, route);
    for (const name of route.guards) runGuard(name, snapshot.guards, body.json);
  }
  guarded.guarded = true;
  return guarded;
}

function runGuard(name: string, guards: Guards, body: Readonly<Record<string, unknown>>): void {
  const compiled = guards.byName.get(name);
  // The loader refuses routes with unknown guards; should one get here, nothing passes.
  if (compiled === undefined)
    throw new GatewayError('content_blocked', { reason: `guards.${name} is unknown` });
  const objection = compiled.check(body);
  if (objection === null) return;
  throw new GatewayError(objection.code, {
    params: objection.params ?? {},
    reason: `guards.${name}: ${objection.reason}`,
    ...(objection.param === undefined ? {} : { param: objection.param }),
  });
}
