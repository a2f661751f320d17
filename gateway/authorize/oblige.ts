// Between the decision and the stages after it: makes what rules oblige to part of the request. The body is written anew
// once, and it is that text which is counted, guarded and forwarded.
import { GatewayError } from '../../core/errors.ts';
import type { Authorized, RequestBody } from '../exchange.ts';
import { answerLengthOf, takesMessages } from '../model-routes.ts';
import type { Route } from '../policies/routes.ts';
import type { Principal } from '../principal.ts';
import { headerValues, type HeaderValues, type Obligations, type ObligingRule } from './obligations.ts';

/** The header fields for the upstream, or which rule demands what cannot be fulfilled and a word for why. */
export type Fulfilment =
  | { readonly headers: HeaderValues; readonly problem: null }
  | { readonly rule: string; readonly problem: string };

/**
 * Whether this route can do what is obliged for this caller.
 * Checks: that a body is read where it is to be judged, that there are messages for a system message, that header fields
 * have values.
 * Does not check: that header fields agree (decide.ts), the body itself (`oblige`).
 */
export function fulfilmentOf(
  obligations: Obligations,
  { route, principal }: { readonly route: Route; readonly principal: Principal },
): Fulfilment {
  const { rules } = obligations;
  // XACML 3.0 §7.2.2: a permit whose obligations are not understood, or cannot be discharged, is no permit.
  const demand = (problem: string, isDemanded: (rule: ObligingRule) => boolean): Fulfilment => ({
    problem,
    rule: rules.find(isDemanded)?.id ?? '',
  });
  if (route.kind === 'http' && (obligations.guards.length > 0 || obligations.ceilings !== null))
    return demand(
      'body_unread',
      ({ obligations: { guards, ceilings } }) => (guards ?? ceilings) !== undefined,
    );
  if (obligations.systemMessage !== null && !takesMessages(route))
    return demand('no_messages', (rule) => rule.obligations.system_message !== undefined);
  const headers = headerValues(obligations.upstreamHeaders, route.anonymous ? null : principal);
  if (headers === null)
    return demand('no_header_value', (rule) => rule.obligations.upstream_headers !== undefined);
  return { headers, problem: null };
}

/**
 * Puts the system message in front and states the ceiling of the answer's length where the caller states none.
 * Checks: that there are messages. Does not check: their form, or ceilings (guard does both, on what this wrote).
 * @throws GatewayError `body_invalid`
 */
export function oblige(authorized: Authorized): Authorized {
  const { route, body } = authorized;
  const { obligations } = authorized.effective;
  if (obligations === null || body === null) return authorized;
  const changed = { ...lengthOf(body.json, obligations, route), ...messagesOf(body.json, obligations) };
  if (Object.keys(changed).length === 0) return authorized;
  const obliged = authorized as Authorized & { body: RequestBody }; // Filled in place: see exchange.ts.
  obliged.outcome.bodyAsJudged = body;
  obliged.body = rewritten({ ...body.json, ...changed });
  return obliged;
}

function messagesOf(
  json: RequestBody['json'],
  { systemMessage }: Obligations,
): { readonly messages?: readonly unknown[] } {
  if (systemMessage === null) return {};
  const { messages } = json;
  if (!Array.isArray(messages))
    throw new GatewayError('body_invalid', { params: { problem: 'messages is missing' }, param: 'messages' });
  // Some servers let a request bring its own template, which could leave the system message out.
  if (json['chat_template'] !== undefined && json['chat_template'] !== null)
    throw new GatewayError('body_invalid', {
      params: { problem: 'chat_template is not permitted here' },
      param: 'chat_template',
    });
  return { messages: [{ role: 'system', content: systemMessage }, ...(messages as readonly unknown[])] };
}

/** The upstream's default could be longer than the ceiling; what the API itself defines is never made longer. */
function lengthOf(
  json: RequestBody['json'],
  { ceilings }: Obligations,
  route: Route,
): Readonly<Record<string, number>> {
  const most = ceilings?.max_tokens;
  const length = answerLengthOf(route);
  if (most === undefined || length === null) return {};
  const { members, usual } = length;
  const isStated = members.some((name) => json[name] !== undefined && json[name] !== null);
  return isStated ? {} : { [members[0]]: Math.min(most, usual ?? most) };
}

/** What was written is read again, so that what is judged is what the upstream reads: JSON has no infinity, for one. */
function rewritten(json: Readonly<Record<string, unknown>>): RequestBody {
  const text = JSON.stringify(json);
  return { bytes: Buffer.from(text), json: JSON.parse(text) as Record<string, unknown> }; // An object was written.
}
