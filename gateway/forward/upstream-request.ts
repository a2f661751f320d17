// Builds what an OpenAI-shaped upstream receives: a head from a fixed list, and the judged bytes. No header of the
// caller is ever copied, so none can be smuggled; its credential stays here.
import { packageVersion } from '../../core/package.ts';
import { GatewayError } from '../../core/errors.ts';
import type { Guarded, RequestBody } from '../exchange.ts';
import { pathId } from '../policies/routes.ts';
import type { Upstream } from './upstreams.ts';

/** What the gateway calls itself towards upstreams. */
const ownAgent = `sallyport/${packageVersion}`;

/**
 * The upstream that serves this request: the route's, else the model's.
 * @throws GatewayError `internal_error` when the configuration names none: policies and configuration disagree.
 */
export function upstreamOf(guarded: Guarded): Upstream {
  const { route, snapshot, services, model } = guarded;
  const name = route.upstream ?? (model === null ? undefined : snapshot.models.get(model));
  if (name === undefined && model !== null)
    throw new GatewayError('model_not_found', { params: { model }, reason: 'no_upstream' });
  const upstream = name === undefined ? undefined : services.upstreams.get(name);
  if (upstream === undefined)
    throw new GatewayError('internal_error', { reason: `no_upstream ${route.name}` });
  guarded.outcome.upstream = upstream.name;
  return upstream;
}

/** The identity assertion for this request, or null towards an external upstream. */
export function assertionFor(guarded: Guarded, upstream: Upstream): string | null | Promise<string> {
  if (upstream.assertion === null || upstream.assertion === undefined) return null;
  const { principal, effective } = guarded;
  return upstream.signer.sign({
    subject: principal.key,
    clientId: principal.clientId,
    roles: effective.roles,
    credential: principal.credential.kind,
    service: upstream.assertion,
  });
}

/** The whole head of an LLM request, names and values in turn; the client adds host, connection and content-length. */
export function headFor(
  upstream: Upstream,
  assertion: string | null,
  request: {
    readonly id: string;
    readonly accept: string;
    readonly obliged: Guarded['effective']['upstreamHeaders'];
  },
): string[] {
  const head = [
    'content-type',
    'application/json',
    'accept',
    request.accept,
    'x-request-id',
    request.id,
    'user-agent',
    ownAgent,
  ];
  if (upstream.authorization !== null) head.push('authorization', upstream.authorization);
  if (assertion !== null) head.push('sallyport-assertion', assertion);
  // The schema of obligations permits no name that stands above, so nothing is overruled.
  for (const [name, value] of request.obliged) head.push(name, value);
  return head;
}

/** The bytes to send, and whether usage was asked for on the gateway's own account. */
export interface UpstreamBody {
  readonly bytes: Buffer;
  readonly addsUsage: boolean;
}

/**
 * The judged bytes, unchanged but for two members that may be spliced in behind the opening brace: `model`, where an
 * Azure-style path named it, and `stream_options`, so that a stream reports its usage. A member is only added when the
 * object has none of that name; duplicate names were refused before, so no parser can read another value.
 */
export function bodyFor(body: RequestBody, model: string | null, asksForUsage: boolean): UpstreamBody {
  const members: string[] = [];
  const stated = body.json['model'];
  // What was judged is what is sent: a body that names another model than was authorized is a bug of ours.
  if (stated !== undefined && stated !== model)
    throw new GatewayError('internal_error', { reason: 'model_mismatch' });
  if (stated === undefined && model !== null) members.push(`"model":${JSON.stringify(model)}`);
  const addsUsage =
    asksForUsage && body.json['stream'] === true && !Object.hasOwn(body.json, 'stream_options');
  if (addsUsage) members.push('"stream_options":{"include_usage":true}');
  if (members.length === 0) return { bytes: body.bytes, addsUsage };
  const brace = body.bytes.indexOf(0x7b);
  const comma = Object.keys(body.json).length === 0 ? '' : ',';
  return {
    bytes: Buffer.concat([
      body.bytes.subarray(0, brace + 1),
      Buffer.from(members.join(',') + comma),
      body.bytes.subarray(brace + 1),
    ]),
    addsUsage,
  };
}

/** Path at the upstream, with its prefix; `{model}` or `{id}` in a route's `upstream_path` is filled in. */
export function pathFor(guarded: Guarded, upstream: Upstream): string {
  const { route, target } = guarded;
  const { upstreamPath } = route;
  if (!upstreamPath.includes('{')) return upstream.basePath + upstreamPath;
  // As functions: in a replacement text, `$&` and its like would mean something.
  const path = upstreamPath
    .replace('{model}', () => encodeURIComponent(guarded.model ?? ''))
    .replace('{id}', () => pathId(route, target.path));
  return upstream.basePath + path;
}
