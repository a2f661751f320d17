// Where a decision point is asked: as configured, or as its metadata says, which is read again now and then.
import type { JsonCaller } from '../outside/json-caller.ts';
import { isSecureOrLoopback } from '../outside/outside-config.ts';
import type { DecisionPointConfig } from './decision-point-config.ts';
import type { NoVerdict } from './verdict.ts';

/** The two endpoints; null: it has no Access Evaluations. */
export interface Endpoints {
  readonly evaluation: string;
  readonly evaluations: string | null;
}

/** Between two looks at the metadata. */
const maxAgeMs = 600_000;

/** Finds the endpoints. */
export interface EndpointSource {
  /** Where to ask, or why that is not known. Never rejects. */
  endpoints(): Promise<Endpoints | NoVerdict>;
}

type SourceConfig = Pick<
  DecisionPointConfig,
  'url' | 'evaluation_url' | 'evaluations_url' | 'insecure_plain_http'
>;

/** Creates the source. */
export function createEndpointSource(config: SourceConfig, caller: JsonCaller): EndpointSource {
  const { url, evaluation_url: evaluation, evaluations_url: evaluations = null } = config;
  if (url === undefined || evaluation !== undefined) {
    const fixed = Promise.resolve({ evaluation: evaluation ?? '', evaluations });
    return { endpoints: () => fixed };
  }
  let known: { readonly endpoints: Endpoints; readonly at: number } | null = null;
  let underWay: Promise<Endpoints | NoVerdict> | null = null;

  const read = async (): Promise<Endpoints | NoVerdict> => {
    const old = known?.endpoints;
    const found = await readMetadata(url, caller, config.insecure_plain_http);
    // Endpoints that were good go on while the metadata is out of reach.
    const endpoints = 'kind' in found && found.kind === 'unreachable' && old !== undefined ? old : found;
    known = 'kind' in endpoints ? null : { endpoints, at: performance.now() };
    return endpoints;
  };

  return {
    async endpoints() {
      if (known !== null && performance.now() - known.at < maxAgeMs) return known.endpoints;
      underWay ??= read().finally(() => (underWay = null));
      return underWay;
    },
  };
}

async function readMetadata(
  url: string,
  caller: JsonCaller,
  isPlainPermitted: boolean,
): Promise<Endpoints | NoVerdict> {
  const invalid = (problem: string): NoVerdict => ({ kind: 'invalid', problem });
  try {
    const { status, json } = await caller.ask({ url: metadataUrl(url) });
    if (status >= 500 || status === 429)
      return { kind: 'unreachable', problem: `the answer for its metadata is ${status}` };
    if (status !== 200 || json === null) return invalid(`it has no metadata (status ${status})`);
    // AuthZEN 1.0 §9.2.3: the identifier in the metadata is identical to the one it was asked by.
    if (json['policy_decision_point'] !== url)
      return invalid('its metadata names another policy_decision_point');
    const evaluation = endpointIn(json['access_evaluation_endpoint'], isPlainPermitted);
    if (evaluation === null) return invalid('its metadata has no access_evaluation_endpoint to use');
    return { evaluation, evaluations: endpointIn(json['access_evaluations_endpoint'], isPlainPermitted) };
  } catch (error) {
    return { kind: 'unreachable', problem: error instanceof Error ? error.message : 'the request failed' };
  }
}

/** AuthZEN 1.0 §9.2: the well-known text stands between host and path. */
export function metadataUrl(identifier: string): string {
  const { origin, pathname } = new URL(identifier);
  return `${origin}/.well-known/authzen-configuration${pathname === '/' ? '' : pathname}`;
}

function endpointIn(value: unknown, isPlainPermitted: boolean): string | null {
  if (typeof value !== 'string' || !URL.canParse(value)) return null;
  const url = new URL(value);
  const isHttp = url.protocol === 'https:' || url.protocol === 'http:';
  return isHttp && (isPlainPermitted || isSecureOrLoopback(url)) ? value : null;
}
