// The services that look at decisions once they are made: the log for replay, and the shadow. Both are optional, and
// neither is on a request's way.
import cluster from 'node:cluster';
import { join } from 'node:path';
import type { Logger } from '../core/log.ts';
import { createDecisionLog } from './accounting/decision-log.ts';
import type { Metrics } from './accounting/metrics.ts';
import type { GatewayConfig } from './config.ts';
import type { PolicyContext } from './policies/context.ts';
import { createShadow } from './policies/shadow.ts';
import type { Services } from './services.ts';

/** What they are built with. */
export interface DecisionServicesDeps {
  readonly context: PolicyContext;
  readonly log: Logger;
  readonly metrics: Metrics;
}

const dayMs = 86_400_000;

/** Opens those that the configuration asks for. @throws the system's error when the folder cannot be made */
export function openDecisionServices(
  config: Pick<GatewayConfig, 'data' | 'decisions' | 'shadow_policies'>,
  { context, log, metrics }: DecisionServicesDeps,
): Pick<Services, 'decisions' | 'shadow'> {
  const {
    record,
    keep_days: keepDays,
    max_megabytes: maxMegabytes,
    omit_claims: omitClaims,
  } = config.decisions;
  const { shadow_policies: directory } = config;
  return {
    ...(record
      ? {
          decisions: createDecisionLog(join(config.data, 'decisions'), {
            log,
            keepMs: keepDays * dayMs,
            maxBytes: maxMegabytes * 1_048_576,
            omitClaims,
            onLost: (count) => metrics.decisionsLost(count),
            ...(cluster.worker === undefined ? {} : { writer: `gateway-${cluster.worker.id}` }),
          }),
        }
      : {}),
    ...(directory === undefined
      ? {}
      : {
          shadow: createShadow({
            directory,
            context,
            log,
            onCompared: (live, candidate, rule) => metrics.shadowCompared(live, candidate, rule),
          }),
        }),
  };
}
