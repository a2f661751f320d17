// The values of the variables of `when` for one request. Only counts and numbers of the body are shown to expressions, so
// that a caller cannot choose how much work they are.
import type { IncomingHttpHeaders } from 'node:http';
import type { Principal } from '../../principal.ts';
import type { RuleFacts } from '../conditions/condition.ts';
import { requestFacts } from '../../request-facts.ts';
import { longestList, type VariableName, type variables } from './vocabulary.ts';

/** The members of a variable; integers are bigint, as CEL wants them. */
export type Members<Name extends VariableName> = Readonly<
  Partial<Record<keyof (typeof variables)[Name], unknown>>
>;

/** Reads the variables that may differ from one request to the next. */
export const requestValues: {
  readonly [Name in Exclude<VariableName, 'principal'>]: (facts: RuleFacts) => Members<Name>;
} = {
  // `headers` are added for the expressions that read them: they cost more than all the rest.
  request: bodyValues,
  subject: ({ request, principal }) =>
    request.foreign?.subject ?? {
      type: request.subject.type,
      id: principal.subject,
      properties: principal.claims,
    },
  action: ({ request: { foreign }, action }) => foreign?.action ?? { name: action, properties: nothing },
  // `attributes` are known to the compiler of the bundle, which adds them.
  resource: ({ request, upstream }) => ({
    type: request.foreign?.resource.type ?? request.resource.type,
    id: request.resource.id,
    properties: request.foreign?.resource.properties ?? nothing,
    upstream,
  }),
  environment: ({ request }) => ({
    now: new Date(request.context.now),
    caller_address: request.context.callerAddress,
    context: request.foreign?.context ?? nothing,
  }),
};

const nothing: Readonly<Record<string, unknown>> = {};

/** Reads `principal`. @throws Error when one of its lists but `groups` is too long to be walked. */
export function principalValues(facts: RuleFacts): Members<'principal'> {
  const { principal, roles, uncertainRoles } = facts;
  const hasTooManyGroups = principal.groups.size > longestList;
  const values = {
    subject: principal.subject,
    issuer: principal.issuerName,
    client_id: principal.clientId ?? '',
    tenant_id: principal.tenantId ?? '',
    roles: bounded(roles),
    groups: hasTooManyGroups ? [] : [...principal.groups],
    groups_known: principal.groupsUnknown !== true,
    identity_type: principal.identityType ?? '',
    scopes: bounded(principal.scopes),
    acr: principal.acr ?? '',
    amr: bounded(principal.amr),
    claims: principal.claims,
    ...(principal.authTime === null ? {} : { authenticated_at: new Date(principal.authTime * 1_000) }),
  };
  if (principal.groupsUnknown !== true && !hasTooManyGroups) return values;
  // Cutting the list off could hide the very group that a rule denies.
  return unreadable(
    { ...values, claims: unreadable(principal.claims, ['groups', ...claimsElsewhere(principal.claims)]) },
    uncertainRoles.size === 0 ? ['groups'] : ['groups', 'roles'],
  );
}

/** Claims that lie elsewhere (OpenID Connect Core §5.6.2): whatever a token says of them itself is a part at most. */
function claimsElsewhere({ _claim_names: names }: Principal['claims']): readonly string[] {
  return typeof names === 'object' && names !== null ? Object.keys(names) : [];
}

/** Members that fail whatever reads them or asks for them: what is not known must not look like what is not there. */
function unreadable<Values extends object>(values: Values, names: readonly string[]): Values {
  const copy = { ...values };
  for (const name of names) {
    Object.defineProperty(copy, name, {
      enumerable: true,
      get: (): never => {
        throw new Error('the groups are not known, or too many');
      },
    });
  }
  return copy;
}

function bounded(values: Iterable<string>): readonly string[] {
  const list = Array.isArray(values) ? (values as readonly string[]) : [...values]; // An array of strings by the parameter's type.
  // Cutting it off could hide the very group that a rule denies.
  if (list.length > longestList) throw new Error('the list is too long');
  return list;
}

function bodyValues({ request, action, model }: RuleFacts): Members<'request'> {
  const facts = requestFacts(request.context.body ?? {});
  return {
    route: request.context.route,
    action,
    model: model ?? '',
    stream: facts.stream,
    max_tokens: BigInt(facts.max_tokens),
    n: BigInt(facts.n),
    message_count: BigInt(facts.message_count),
    prompt_count: BigInt(facts.prompt_count),
    tool_count: BigInt(facts.tool_count),
  };
}

/** Fields that carry credentials; no rule may judge by the text of one. */
const hiddenFields = new Set(['authorization', 'proxy-authorization', 'api-key', 'cookie', 'dpop']);

/** The header fields of a request that expressions may see. */
export function shownHeaders(headers: IncomingHttpHeaders = {}): ReadonlyMap<string, string> {
  const shown = new Map<string, string>();
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined && !hiddenFields.has(name))
      shown.set(name, typeof value === 'string' ? value : value.join(', '));
  }
  return shown;
}
