// The values of the variables of `when` for one request. Only counts and numbers of the body are shown to expressions, so
// that a caller cannot choose how much work they are.
import type { RuleFacts } from '../conditions/condition.ts';
import { longestList, type VariableName, type variables } from './vocabulary.ts';

type Body = Readonly<Record<string, unknown>>;
type Members<Name extends VariableName> = Readonly<Partial<Record<keyof (typeof variables)[Name], unknown>>>;

/** The value of every variable; integers are bigint, as CEL wants them. */
export type RequestValues = { readonly [Name in VariableName]: Members<Name> };

/** Reads the values of a request. @throws Error when a list of the principal is too long to be walked. */
export function requestValues(facts: RuleFacts): RequestValues {
  const { request } = facts;
  return {
    principal: principalValues(facts),
    request: bodyValues(facts),
    resource: { type: request.resource.type, id: request.resource.id, upstream: facts.upstream },
    environment: { now: new Date(request.context.now), caller_address: request.context.callerAddress },
  };
}

function principalValues({ principal, roles }: RuleFacts): RequestValues['principal'] {
  return {
    subject: principal.subject,
    issuer: principal.issuerName,
    client_id: principal.clientId ?? '',
    tenant_id: principal.tenantId ?? '',
    roles: bounded(roles),
    groups: bounded(principal.groups),
    scopes: bounded(principal.scopes),
    acr: principal.acr ?? '',
    amr: bounded(principal.amr),
    claims: principal.claims,
    ...(principal.authTime === null ? {} : { authenticated_at: new Date(principal.authTime * 1_000) }),
  };
}

function bounded(values: Iterable<string>): readonly string[] {
  const list = Array.isArray(values) ? (values as readonly string[]) : [...values]; // An array of strings by the parameter's type.
  // Cutting it off could hide the very group that a rule denies.
  if (list.length > longestList) throw new Error('the list is too long');
  return list;
}

function bodyValues({ request, action, model }: RuleFacts): RequestValues['request'] {
  const body: Body = request.context.body ?? {};
  const lengths = [
    body['max_tokens'],
    body['max_completion_tokens'],
    body['max_output_tokens'],
    body['max_length'],
  ];
  return {
    route: request.context.route,
    action,
    model: model ?? '',
    stream: body['stream'] === true,
    max_tokens: lengths.map(whole).reduce((most, each) => (each > most ? each : most), 0n),
    n: body['n'] === undefined || body['n'] === null ? 1n : whole(body['n']),
    message_count: entries(body['messages']),
    prompt_count: prompts(body['prompt']) + prompts(body['input']),
    tool_count: entries(body['tools']) + entries(body['functions']),
  };
}

/** A number that is none is 0 here: the guard refuses such a body whatever the rules say. */
function whole(value: unknown): bigint {
  if (typeof value !== 'number' || Number.isNaN(value)) return 0n;
  return BigInt(Math.ceil(Math.min(Math.max(value, Number.MIN_SAFE_INTEGER), Number.MAX_SAFE_INTEGER)));
}

const entries = (value: unknown): bigint => (Array.isArray(value) ? BigInt(value.length) : 0n);

/** Text is one prompt, a list of token ids as well. */
function prompts(value: unknown): bigint {
  if (typeof value === 'string') return 1n;
  if (!Array.isArray(value)) return 0n;
  return typeof value[0] === 'number' ? 1n : BigInt(value.length);
}
