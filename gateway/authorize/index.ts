// Third stage: may this principal do this action on this model, now. Default deny. Trusts the principal of
// authenticate and the model named by the body stage; everything else is from roles.yaml.
import { GatewayError } from '../../core/errors.ts';
import type { Authorized, Parsed } from '../exchange.ts';

export { compileRoles, type Authorization } from './compiled-roles.ts';
export { rolesSchema, type RolesPolicy } from './roles-policy.ts';

/** A principal's roles after assignments and hierarchy, with what they permit. */
export interface Effective {
  readonly roles: ReadonlySet<string>;
  /** The role that permitted, e.g. `roles.LLM.User`; `anonymous` on open routes. */
  readonly decidedBy: string;
}

const anonymous: Effective = { roles: new Set(), decidedBy: 'anonymous' };

/**
 * Permits or refuses the action of the route.
 * Checks: a role permits the action; the model exists and that role may use it (one answer for both, so nothing is
 * revealed); a route that needs a model has one.
 * Does not check: the credential (authenticate), how often (limit), the content (guard).
 * On `generate` routes without a model, the first model that the principal may use is taken.
 */
export function authorize(parsed: Parsed): Authorized {
  const { route, principal, outcome, snapshot } = parsed;
  const authorized = parsed as Parsed & { effective: Effective; model: string | null }; // Filled in place: see exchange.ts.
  if (route.anonymous) {
    authorized.effective = anonymous;
    outcome.decidedBy = anonymous.decidedBy;
    return authorized;
  }
  const { authorization } = snapshot;
  const roles = authorization.effectiveRoles(principal);
  const actionRole = authorization.permits(principal, route.action, null);
  if (actionRole === null) throw notPermitted(route.action, roles);

  const model = parsed.model ?? defaultModel(parsed);
  const role = model === null ? actionRole : authorization.permits(principal, route.action, model);
  if (role === null) {
    const reason = snapshot.models.has(model ?? '') ? 'model_not_permitted' : 'model_unknown';
    throw new GatewayError('model_not_found', { params: { model: model ?? '' }, param: 'model', reason });
  }
  authorized.model = model;
  outcome.model = model;
  outcome.decidedBy = `roles.${role}`;
  authorized.effective = { roles, decidedBy: outcome.decidedBy };
  return authorized;
}

/** The model of a request that names none: required where the action is about a model. */
function defaultModel({ route, principal, snapshot }: Parsed): string | null {
  if (route.kind === 'generate') {
    const { authorization } = snapshot;
    const first = authorization
      .permittedModels(principal)
      .find((model) => authorization.permits(principal, route.action, model) !== null);
    if (first === undefined)
      throw new GatewayError('model_not_found', {
        params: { model: '(none named)' },
        param: 'model',
        reason: 'no_model_permitted',
      });
    return first;
  }
  if (route.kind === 'openai') {
    throw new GatewayError('body_invalid', { params: { problem: 'model is missing' }, param: 'model' });
  }
  return null;
}

function notPermitted(action: string, roles: ReadonlySet<string>): GatewayError {
  const reason = roles.size === 0 ? 'no_known_role' : 'action_not_permitted';
  if (action.startsWith('admin.')) return new GatewayError('admin_access_required', { reason });
  return new GatewayError('access_denied', { params: { action }, reason });
}
