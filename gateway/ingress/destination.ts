// Where the requests that ingress/ serves may lead: routes of completions. All others keep their way through node:http.
import { GatewayError } from '../../core/errors.ts';
import type { RequestTarget } from '../exchange.ts';
import type { Route } from '../policies/routes.ts';
import { parseTarget } from '../request-target.ts';
import type { Snapshot } from '../snapshot.ts';

/** A target and its route, under the policies that found it. */
export interface Destination {
  readonly snapshot: Snapshot;
  readonly target: RequestTarget;
  readonly route: Route;
  readonly pathModel: string | null;
}

/** The destination of a POST, or null where its target is refused, unknown, or of another kind of route. */
export function destinationOf(url: string, snapshot: Snapshot): Destination | null {
  const target = accepted(url);
  const match = target === null ? null : snapshot.routes.match('POST', target.path);
  if (target === null || match === null || 'allowed' in match) return null;
  const { route, pathModel } = match;
  return route.kind === 'openai' || route.kind === 'generate' ? { snapshot, target, route, pathModel } : null;
}

/** Null for a target that is refused: the refusal is given where node:http's requests are refused. */
function accepted(url: string): RequestTarget | null {
  try {
    return parseTarget(url);
  } catch (error) {
    if (error instanceof GatewayError) return null;
    throw error;
  }
}
