// What the policies may refer to outside their own directory: models, upstreams and the embedded issuer.
import type { RelationsConfig } from '../authorize/relations/relations-config.ts';
import type { GatewayConfig } from '../config.ts';
import { attributesOf, modelIdOf, type ModelAttributes } from '../model-attributes.ts';

/** Models, upstreams and the embedded issuer, as configured. */
export interface PolicyContext {
  /** Model id → name of the upstream that serves it, in configuration order. */
  readonly models: ReadonlyMap<string, string>;
  /** What the configuration states about models, by id; for rules over `resource.attributes`. */
  readonly modelAttributes?: ReadonlyMap<string, ModelAttributes>;
  /** Name of each upstream → its kind. */
  readonly upstreams: ReadonlyMap<string, 'openai' | 'http'>;
  /** What `issuer: embedded` stands for. */
  readonly embeddedIssuer: string | null;
  /** Whether the gateway verifies client certificates; `proxy`: TLS ends before it, so that it sees none. */
  readonly clientCertificates: 'verified' | 'not_asked_for' | 'proxy';
  /** Whether relationships are held elsewhere, so that the tuples of relations.yaml answer the offline tools alone. */
  readonly relationsElsewhere?: boolean;
  /** Whether a decision point is asked beside the policies, which the offline tools never do. */
  readonly asksDecisionPoint?: boolean;
}

/** The parts of the configuration that policies refer to; a model served twice belongs to the first upstream. */
export function policyContext(
  config: Pick<GatewayConfig, 'upstreams' | 'embedded_issuer' | 'tls' | 'tls_ends_at_proxy'> & {
    readonly relations?: RelationsConfig;
    readonly decision_point?: unknown;
  },
): PolicyContext {
  const models = new Map<string, string>();
  const modelAttributes = new Map<string, ModelAttributes>();
  for (const [name, upstream] of Object.entries(config.upstreams)) {
    for (const entry of upstream.models) {
      const model = modelIdOf(entry);
      if (models.has(model)) continue;
      models.set(model, name);
      modelAttributes.set(model, attributesOf(entry));
    }
  }
  const upstreams = new Map(
    Object.entries(config.upstreams).map(([name, upstream]) => [name, upstream.kind]),
  );
  return {
    models,
    modelAttributes,
    upstreams,
    embeddedIssuer: config.embedded_issuer ?? null,
    clientCertificates:
      config.tls?.client_ca !== undefined ? 'verified' : config.tls_ends_at_proxy ? 'proxy' : 'not_asked_for',
    relationsElsewhere: config.relations?.engine === 'openfga',
    asksDecisionPoint: config.decision_point !== undefined,
  };
}
