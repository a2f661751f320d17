// Explains a request of the past from its audit record: what was decided then, in the words of the bundle at hand.
import { decisionPointName } from '../../gateway/authorize/decision-point/confirm.ts';
import { GatewayError, errorCatalogue, type ErrorCode } from '../../core/errors.ts';
import type { PolicyFileName } from '../../gateway/policies/bundle.ts';
import type { Principal } from '../../gateway/principal.ts';
import { printable } from '../wording.ts';
import type { RequestRecord } from './audit-search.ts';
import type { RecordedDecision } from '../../gateway/accounting/decision-files.ts';
import { bodyWithFacts } from '../../gateway/request-facts.ts';
import { createEvaluator, routeFor } from '../../gateway/policies/evaluation/evaluate.ts';
import {
  rolesThatPermit,
  toldOf,
  type ExplainedRequest,
  type ExplainedStage,
  type StageOutcome,
} from './explanation.ts';
import { holderOf } from './access.ts';
import type { OpenedPolicies } from './opened-policies.ts';
import { deciderPlace, explainAnswer, type Explanation } from './reason-words.ts';
import { seenValues } from './seen-values.ts';

type StageName = ExplainedStage['stage'];
const stageNames: readonly StageName[] = ['authenticate', 'authorize', 'limit', 'guard', 'forward'];

/** Which stage answers with which code; anything else comes from forward. */
const stageOfCode: Readonly<Partial<Record<ErrorCode, StageName>>> = {
  missing_credentials: 'authenticate',
  invalid_request: 'authenticate',
  invalid_token: 'authenticate',
  insufficient_scope: 'authenticate',
  issuer_unavailable: 'authenticate',
  directory_unavailable: 'authenticate',
  insufficient_user_authentication: 'authorize',
  access_denied: 'authorize',
  admin_access_required: 'authorize',
  model_not_found: 'authorize',
  decision_point_unavailable: 'authorize',
  rate_limit_exceeded: 'limit',
  insufficient_quota: 'limit',
  limit_store_unavailable: 'limit',
  content_blocked: 'guard',
  parameter_above_ceiling: 'guard',
};

/** Explains a record. The values that were seen are in the record of the decision, as long as that is kept. */
export function explainRecord(
  record: RequestRecord,
  opened: OpenedPolicies,
  decision: RecordedDecision | null,
): ExplainedRequest {
  const text = (name: string): string | null => {
    const value = record[name];
    return typeof value === 'string' ? printable(value) : null;
  };
  const code = text('code') ?? 'internal_error';
  const refusal = isErrorCode(code) ? refusalOf(code, record) : null;
  const digest = text('policy') ?? opened.bundle.digest;
  return {
    request_id: text('request_id'),
    action: text('action') ?? `${text('method') ?? ''} without a route`.trim(),
    model: text('model'),
    at: text('at') ?? '',
    caller: callerOf(text),
    digest,
    note:
      digest === opened.bundle.digest
        ? null
        : `The policies at hand are ${opened.bundle.digest.slice(0, 8)}: places are theirs.`,
    outcome: refusal === null ? 'permit' : code,
    reason: text('reason'),
    decided_by: text('decided_by'),
    obligations: obligedBy(record),
    stages:
      text('action') === null
        ? []
        : withValues(stagesOf(record, refusal, { text, opened, decision }), decision, opened),
    seen: decision === null ? null : seenValues(decision),
    would_permit: refusal === null ? [] : waysIn(refusal, { text, opened, decision }),
    told: refusal === null ? null : toldOf(refusal),
  };
}

const isErrorCode = (code: string): code is ErrorCode => Object.hasOwn(errorCatalogue, code);

/** Status and code as recorded; of the sentence's parameters the log keeps action and model only. */
function refusalOf(code: ErrorCode, record: RequestRecord): GatewayError {
  const params = { action: String(record['action']), model: String(record['model']) };
  return new GatewayError(code, { params });
}

/** What a rule obliged to then is not kept; which rules did, is. */
function obligedBy({ obliged_by: rules }: RequestRecord): { readonly rules: readonly string[] } | null {
  if (!Array.isArray(rules)) return null;
  return { rules: rules.filter((rule) => typeof rule === 'string') };
}

type Text = (name: string) => string | null;

interface Ground {
  readonly text: Text;
  readonly opened: OpenedPolicies;
  readonly decision: RecordedDecision | null;
}

/** Why roles and rules decided so, with the values seen; null when the bundle at hand is another or says otherwise. */
function judgedAgain(decision: RecordedDecision, opened: OpenedPolicies): Explanation | null {
  const evaluator = createEvaluator(opened);
  if (decision.policy !== opened.bundle.digest || routeFor(evaluator.snapshot, decision) === undefined)
    return null;
  const { principal, action, route, model, from, at, facts } = decision;
  const answer = evaluator.answer({
    credential: principal,
    action,
    route,
    model,
    request: facts === null ? null : bodyWithFacts(facts),
    now: at,
    from,
  });
  if (answer.decidedBy !== decision.by) return null;
  const isGuards = answer.stage === 'guard'; // Of a body without texts, which says nothing.
  return explainAnswer(isGuards ? { ...answer, stage: null, refusal: null } : answer, opened);
}

/** Where the values are recorded, authorize says them. */
function withValues(
  stages: readonly ExplainedStage[],
  decision: RecordedDecision | null,
  opened: OpenedPolicies,
): ExplainedStage[] {
  const explanation = decision === null ? null : judgedAgain(decision, opened);
  return stages.map((each) =>
    explanation !== null && each.stage === 'authorize' && each.outcome !== 'not_reached'
      ? { ...each, explanation }
      : each,
  );
}

function callerOf(text: Text): string {
  const principal = text('principal');
  if (principal === null) return `nobody we know, from ${text('caller') ?? 'an unknown address'}`;
  const client = text('client_id');
  return `${principal} (${text('issuer') ?? ''})${client === null ? '' : ` through client ${client}`}, from ${text('caller') ?? ''}`;
}

function stagesOf(
  record: RequestRecord,
  refusal: GatewayError | null,
  { text, opened }: Ground,
): ExplainedStage[] {
  const refusing = refusal === null ? null : (stageOfCode[refusal.code] ?? lastStage(record));
  const at = refusing === null ? stageNames.length : stageNames.indexOf(refusing);
  const decidedBy = text('decided_by');
  return stageNames.map((stage, index): ExplainedStage => {
    const outcome: StageOutcome = index < at ? 'passed' : index === at ? 'refused' : 'not_reached';
    if (outcome === 'not_reached') return { stage, outcome, explanation: null };
    if (outcome === 'refused') {
      const reason = text('reason');
      const words = refusal?.publicMessage ?? '';
      return {
        stage,
        outcome,
        explanation: {
          place: placeOf(stage, { text, opened }),
          text: reason === null ? words : `refused by ${reason}`,
        },
      };
    }
    const said: Readonly<Partial<Record<StageName, string>>> = {
      authenticate: `${text('issuer') ?? 'the issuer'} vouches for the caller`,
      ...(decidedBy === null ? {} : { authorize: `${decidedBy} permits ${text('action') ?? ''}` }),
      ...(text('upstream') === null
        ? {}
        : { forward: `answered by ${text('upstream') ?? ''} with ${String(record['status'])}` }),
    };
    const words = said[stage];
    return {
      stage,
      outcome,
      explanation: words === undefined ? null : { place: placeOf(stage, { text, opened }), text: words },
    };
  });
}

/** Codes of the body and of our own faults belong to the last stage that is known to be reached. */
function lastStage(record: RequestRecord): StageName {
  if (record['decided_by'] === null || record['decided_by'] === undefined)
    return record['principal'] === null ? 'authenticate' : 'authorize';
  return record['upstream'] === null ? 'guard' : 'forward';
}

const guardNamed = (reason: string | null): string | null =>
  /^guards\.([a-z0-9-]+)/.exec(reason ?? '')?.[1] ?? null;

/** The line that the stage went by, as far as the record names it. */
function placeOf(stage: StageName, { text, opened }: { text: Text; opened: OpenedPolicies }): string | null {
  const { bundle, placeOf: at } = opened;
  const entry = (file: PolicyFileName, section: string, known: object, name: string | null): string | null =>
    name !== null && Object.hasOwn(known, name) ? at(file, [section, name]) : null;
  const route = entry('routes.yaml', 'routes', bundle.routes.routes, text('route'));
  switch (stage) {
    case 'authenticate':
      return (
        entry('issuers.yaml', 'issuers', bundle.issuers.issuers, text('issuer')) ??
        at('issuers.yaml', ['issuers'])
      );
    case 'authorize':
      // No file of the policies says what a decision point decides.
      if (text('decided_by') === decisionPointName) return null;
      return deciderPlace(text('decided_by') ?? '', opened) ?? at('roles.yaml', ['roles']);
    case 'limit':
      return entry('limits.yaml', 'limits', bundle.limits.limits, text('reason')) ?? route;
    case 'guard':
      return entry('guards.yaml', 'guards', bundle.guards.guards, guardNamed(text('reason'))) ?? route;
    case 'forward':
      return route;
  }
}

const principalOf = (decision: RecordedDecision | null, text: Text): Principal =>
  decision?.principal ?? holderOf([], text('issuer') ?? '');

function waysIn(refusal: GatewayError, { text, opened, decision }: Ground): string[] {
  const stage = stageOfCode[refusal.code];
  if (stage === 'authenticate')
    return ['judge the token itself: sallyport policy explain --token-file FILE --action …'];
  if (stage === 'limit') return ['waiting until the window is over, or a wider limit'];
  if (stage === 'guard') return ['a request that keeps to the guard'];
  const action = text('action');
  if (stage !== 'authorize' || action === null) return [];
  const decidedBy = text('decided_by');
  if (decidedBy === decisionPointName)
    return ['a permit of the decision point (gateway.decision_point); no role or rule can give it'];
  if (decidedBy?.startsWith('rules.') === true)
    return [
      `a request that ${decidedBy} does not match (${deciderPlace(decidedBy, opened) ?? 'gone from the policies at hand'})`,
    ];
  return rolesThatPermit(
    {
      principal: principalOf(decision, text),
      action,
      model: text('model'),
      route: text('route') ?? '',
      now: Date.parse(text('at') ?? '') || Date.now(),
      from: text('caller') ?? '127.0.0.1',
    },
    { evaluator: createEvaluator(opened), opened },
  );
}
