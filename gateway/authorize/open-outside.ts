// Opens whoever is asked beside the policies, as configured; both are null where this process decides alone.
import type { Logger } from '../../core/log.ts';
import type { Metrics } from '../accounting/metrics.ts';
import { createDecisionPoint, type DecisionPoint } from './decision-point/decision-point.ts';
import type { DecisionPointConfig } from './decision-point/decision-point-config.ts';
import { createOpenFgaStore, type RemoteRelationStore } from './relations/openfga-store.ts';
import type { RelationsConfig } from './relations/relations-config.ts';

/** What the configuration says of them. */
export interface OutsideSettings {
  readonly relations: RelationsConfig;
  readonly decision_point?: DecisionPointConfig | undefined;
}

/** Those that are asked. */
export interface Outside {
  readonly relationStore: RemoteRelationStore | null;
  readonly decisionPoint: DecisionPoint | null;
}

/** Opens them; one that is down does not stop the start. @throws Error when a secret or PEM file cannot be read */
export function openOutside(
  { relations, decision_point: point }: OutsideSettings,
  { metrics, log }: { readonly metrics: Metrics; readonly log: Logger },
): Outside {
  const turns =
    (name: string, meanwhile: string) =>
    (problem: string | null): void => {
      if (problem === null) log.info({}, `${name} answers again`);
      else log.error({ problem }, `${name} does not answer: ${meanwhile}`);
    };
  const relationStore =
    relations.engine === 'embedded'
      ? null
      : createOpenFgaStore(relations, {
          onAsked: (asked) => metrics.askedOutside('relations', asked),
          onTurn: turns('OpenFGA', 'rules that ask for relations deny'),
        });
  if (point === undefined) return { relationStore, decisionPoint: null };
  const meanwhile =
    point.on_failure === 'deny' ? 'requests are refused' : 'what the policies permit passes without it';
  const decisionPoint = createDecisionPoint(point, {
    onAsked: (asked) => metrics.askedOutside('decision_point', asked),
    onTurn: turns('the decision point', meanwhile),
  });
  void decisionPoint.warm();
  return { relationStore, decisionPoint };
}
