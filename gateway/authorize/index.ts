// Third stage: may this principal do this action on this model, now. Default deny.
import type { Authorized, Parsed } from '../exchange.ts';
import type { Principal } from '../principal.ts';

/** A principal's roles after assignments and hierarchy, with what they permit. */
export interface Effective {
  readonly roles: ReadonlySet<string>;
  /** The role that permitted, e.g. `roles.LLM.User`; `anonymous` on open routes. */
  readonly decidedBy: string;
}

/** The compiled roles.yaml. */
export interface Authorization {
  /** Claimed roles plus assignments by group, closed over `inherits`. */
  effectiveRoles(principal: Principal): ReadonlySet<string>;
  /** Models that the principal may see and use, in configuration order. */
  permittedModels(principal: Principal): readonly string[];
  /** The role that permits `action` (on `model`, if not null), or null. */
  permits(principal: Principal, action: string, model: string | null): string | null;
}

export function authorize(_parsed: Parsed): Authorized {
  throw new Error('not built yet');
}
