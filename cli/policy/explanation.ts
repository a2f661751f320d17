// What is said about one decision, by whatever way it was come by: every stage, what would permit it, and what the
// caller was told.
import { matchesAction } from '../../gateway/authorize/patterns.ts';
import { shownObligations, type ShownObligations } from '../../gateway/authorize/index.ts';
import type { GatewayError } from '../../core/errors.ts';
import { decide } from '../../gateway/authorize/decide.ts';
import type { Principal } from '../../gateway/principal.ts';
import { printable } from '../wording.ts';
import type { Answer, Evaluator, Question } from '../../gateway/policies/evaluation/evaluate.ts';
import { obligationWords } from './obligation-words.ts';
import type { OpenedPolicies } from './opened-policies.ts';
import type { Paint } from './paint.ts';
import { deciderPlace, explainAnswer, inOneLine, routePlace, type Explanation } from './reason-words.ts';
import { seenLines, type SeenValues } from './seen-values.ts';
import { shownValue } from './shown-value.ts';

export type StageOutcome = 'passed' | 'refused' | 'not_reached' | 'not_asked';

/** What one stage said. */
export interface ExplainedStage {
  readonly stage: 'authenticate' | 'authorize' | 'limit' | 'guard' | 'forward';
  readonly outcome: StageOutcome;
  /** Null where there is nothing to say. */
  readonly explanation: Explanation | null;
}

/** A decision, explained; this is also what `--json` prints. */
export interface ExplainedRequest {
  readonly request_id: string | null;
  readonly action: string;
  readonly model: string | null;
  readonly at: string;
  /** Who asked, in words. */
  readonly caller: string;
  readonly digest: string;
  /** Said where the bundle at hand is not the one that decided. */
  readonly note: string | null;
  /** `permit`, or the code of the refusal. */
  readonly outcome: string;
  readonly reason: string | null;
  readonly decided_by: string | null;
  /** What the permit is bound to; of a request in the audit log, the rules alone. */
  readonly obligations: ShownObligations | null;
  readonly stages: readonly ExplainedStage[];
  /** The values that decided, of a recorded request; null where there is no record of them. */
  readonly seen: SeenValues | null;
  readonly would_permit: readonly string[];
  /** Status, code and sentence as the caller saw them; null for a request that was permitted. */
  readonly told: { readonly status: number; readonly code: string; readonly message: string } | null;
}

/** Roles named as a way in, at most. */
const namedWays = 4;

/** Judges a question and explains the answer. */
export function explainQuestion(
  question: Question,
  evaluator: Evaluator,
  opened: OpenedPolicies,
): ExplainedRequest {
  const answer = evaluator.answer(question);
  const { refusal } = answer;
  return {
    request_id: null,
    action: question.action,
    model: answer.model,
    at: new Date(question.now).toISOString(),
    caller: callerOf(answer),
    digest: opened.bundle.digest,
    note: noteOn(question, opened),
    outcome: refusal?.code ?? 'permit',
    reason: refusal?.reason ?? null,
    decided_by: answer.decidedBy,
    obligations: answer.obligations === null ? null : shownObligations(answer.obligations),
    stages: stagesOf(question, answer, opened),
    seen: null,
    would_permit: refusal === null ? [] : waysIn(question, answer, { evaluator, opened }),
    told: refusal === null ? null : toldOf(refusal),
  };
}

/** What is not looked at here; null when everything is. */
function noteOn(question: Question, { context }: OpenedPolicies): string | null {
  const notes = [
    ...(context.asksDecisionPoint === true ? ['The decision point is not asked offline.'] : []),
    ...(context.relationsElsewhere === true ? ['Relations are answered from relations.yaml.'] : []),
  ];
  const all = [credentialNote(question) ?? [], notes].flat();
  return all.length === 0 ? null : all.join(' ');
}

/** What is not checked of a credential that is judged; null for somebody who is only imagined. */
function credentialNote({ credential }: Question): string | null {
  if (typeof credential === 'string') return 'The signature of the token is not checked here.';
  return credential !== null && 'certificate' in credential
    ? 'Chain and revocation of the certificate are not checked here.'
    : null;
}

/** What the caller sees of a refusal. */
export function toldOf(refusal: GatewayError): ExplainedRequest['told'] {
  return { status: refusal.definition.status, code: refusal.code, message: refusal.publicMessage };
}

function callerOf({ principal, accessToken }: Answer): string {
  if (principal !== null) {
    const client = principal.clientId === null ? '' : ` through client ${principal.clientId}`;
    const roles = [...principal.roles].join(', ');
    return printable(
      `${principal.subject} (${principal.issuerName})${client}, roles claimed: ${roles === '' ? 'none' : roles}`,
    );
  }
  return accessToken === null ? 'nobody' : `a token of ${shownValue(accessToken.issuer)}`;
}

function stagesOf(question: Question, answer: Answer, opened: OpenedPolicies): ExplainedStage[] {
  const why = explainAnswer(answer, opened);
  const refused = (stage: ExplainedStage['stage']): ExplainedStage => ({
    stage,
    outcome: 'refused',
    explanation: why,
  });
  const later = (outcome: StageOutcome, ...stages: ExplainedStage['stage'][]): ExplainedStage[] =>
    stages.map((stage) => ({ stage, outcome, explanation: null }));
  if (answer.stage === 'authenticate')
    return [refused('authenticate'), ...later('not_reached', 'authorize', 'limit', 'guard', 'forward')];
  const authenticated: ExplainedStage = {
    stage: 'authenticate',
    outcome: credentialNote(question) === null ? 'not_asked' : 'passed',
    explanation: authenticationOf(question, answer, opened),
  };
  if (answer.stage === 'authorize')
    return [authenticated, refused('authorize'), ...later('not_reached', 'limit', 'guard', 'forward')];
  const authorized: ExplainedStage = {
    stage: 'authorize',
    outcome: 'passed',
    explanation: authorizationOf(answer, opened),
  };
  const obliged = answer.obligations;
  const limits: ExplainedStage = {
    stage: 'limit',
    outcome: 'not_asked',
    explanation: {
      place: routePlace(answer, opened),
      text: namesOf('limits', answer.route.limits, obliged?.limits) ?? 'no limits',
    },
  };
  if (answer.stage === 'guard')
    return [authenticated, authorized, limits, refused('guard'), ...later('not_reached', 'forward')];
  const guardsAsked = namesOf('guards', answer.route.guards, obliged?.guards);
  const guards: ExplainedStage = {
    stage: 'guard',
    outcome: 'not_asked',
    explanation: guardsAsked === null ? null : { place: null, text: guardsAsked },
  };
  return [authenticated, authorized, limits, guards];
}

/** `limits of the route: a, b; of rules: c`, or null when there are none. */
function namesOf(what: string, own: readonly string[], obliged: readonly string[] = []): string | null {
  const added = obliged.filter((name) => !own.includes(name));
  if (own.length === 0) return added.length === 0 ? null : `${what} of rules: ${added.join(', ')}`;
  return `${what} of the route: ${own.join(', ')}${added.length === 0 ? '' : `; of rules: ${added.join(', ')}`}`;
}

const authorizationOf = (answer: Answer, opened: OpenedPolicies): Explanation =>
  explainAnswer({ ...answer, stage: null, refusal: null }, opened);

function authenticationOf(
  question: Question,
  { issuer, principal, accessToken, route }: Answer,
  opened: OpenedPolicies,
): Explanation {
  if (route.anonymous) return { place: routePlace({ route }, opened), text: 'the route is open to anybody' };
  if (principal?.credential.kind === 'client_certificate')
    return {
      place: opened.placeOf('issuers.yaml', ['client_certificates', principal.issuerName]),
      text: printable(`${principal.issuerName}: the certificate is that of ${principal.subject}`),
    };
  if (issuer === null || typeof question.credential !== 'string')
    return { place: null, text: `somebody with the roles ${[...(principal?.roles ?? [])].join(', ')}` };
  const expiry = accessToken?.claims['exp'];
  const until = typeof expiry === 'number' ? `, expires ${new Date(expiry * 1_000).toISOString()}` : '';
  const client = issuer.clientIds === null ? 'any client' : `client ${principal?.clientId ?? ''} listed`;
  return {
    place: opened.placeOf('issuers.yaml', ['issuers', issuer.name]),
    text: `${issuer.name}: audience ${shownValue(accessToken?.claims['aud'])}, ${printable(client)}${until}`,
  };
}

interface Ground {
  readonly evaluator: Evaluator;
  readonly opened: OpenedPolicies;
}

/** What would permit it: the change of the token, or the roles that would do. */
function waysIn(question: Question, answer: Answer, ground: Ground): string[] {
  const { principal, route, model, decidedBy } = answer;
  if (answer.stage === 'authenticate') {
    const place = explainAnswer(answer, ground.opened).place ?? 'issuers.yaml';
    return [`a token that passes this check, or another value at ${place}`];
  }
  if (answer.stage === 'guard') return ['a request that keeps to the guard'];
  if (decidedBy?.startsWith('rules.') === true) return waysPastRule(decidedBy, answer, ground);
  if (decidedBy !== null) return ['taking one of the two roles away'];
  if (principal === null) return [];
  if (answer.refusal?.code === 'body_invalid') return ['a request that names its model'];
  const { now, from } = question;
  return rolesThatPermit({ principal, action: question.action, model, route: route.name, now, from }, ground);
}

function waysPastRule(decidedBy: string, { decision }: Answer, { opened }: Ground): string[] {
  const name = decidedBy.slice('rules.'.length);
  const stepUp = decision?.stepUp ?? null;
  if (stepUp === null)
    return [
      `a request that the rule ${name} does not match (${deciderPlace(decidedBy, opened) ?? ''}); no role helps, since a deny overrides every permit`,
    ];
  const how = [
    ...(stepUp.amr.length === 0 ? [] : [`with ${stepUp.amr.join(', ')}`]),
    ...(stepUp.acrValues.length === 0 ? [] : [`at the level ${stepUp.acrValues.join(' or ')}`]),
    ...(stepUp.maxAge === null ? [] : [`no longer than ${stepUp.maxAge}s ago`]),
  ];
  return [`signing in again ${how.join(', ')}`];
}

interface Wanted {
  readonly principal: Principal;
  readonly action: string;
  readonly model: string | null;
  readonly route: string;
  readonly now: number;
  readonly from: string;
}

/** Roles that would do if the principal held them too, each with its place. */
export function rolesThatPermit(wanted: Wanted, { evaluator, opened }: Ground): string[] {
  const { principal, action, model } = wanted;
  if (model !== null && !opened.context.models.has(model))
    return [`an upstream that serves ${shownValue(model)} (gateway.upstreams in the configuration)`];
  const names = Object.keys(opened.bundle.roles.roles).filter((role) => {
    const holder = { ...principal, roles: new Set([...principal.roles, role]) };
    const { decision } = decide(
      {
        subject: { type: 'principal', id: holder.key, properties: holder },
        action: { name: action },
        resource: model === null ? { type: 'gateway', id: '' } : { type: 'model', id: model },
        context: {
          now: wanted.now,
          callerAddress: wanted.from,
          route: wanted.route,
          body: model === null ? null : { model },
        },
      },
      evaluator.snapshot,
    );
    return decision === 'permit';
  });
  const ways = names.map((role) => `role ${role} (${opened.placeOf('roles.yaml', ['roles', role])})`);
  const shown = ways.slice(0, namedWays);
  if (ways.length > namedWays) shown.push(`${ways.length - namedWays} more: sallyport policy access`);
  if (ways.length === 0) {
    const isPermitted = Object.values(opened.bundle.roles.roles).some((role) =>
      role.permits.some((pattern) => matchesAction(pattern, action)),
    );
    shown.push(
      isPermitted
        ? `a role that permits ${action} and lists ${model ?? 'it'}; none does now (${opened.placeOf('roles.yaml', ['roles'])})`
        : `a role that permits ${action}; none does now (${opened.placeOf('roles.yaml', ['roles'])})`,
    );
  }
  return shown;
}

const marks: Readonly<Record<StageOutcome, string>> = {
  passed: '✓',
  refused: '✗',
  not_reached: '-',
  not_asked: '·',
};

/** What a permit is bound to, and by which rules. */
function boundLines(obligations: ShownObligations | null, paint: Paint): string[] {
  if (obligations === null) return [];
  const words = obligationWords(obligations);
  const by = `by ${obligations.rules.map((rule) => printable(rule)).join(', ')}`;
  return [`${paint.dim('·')} ${'bound'.padEnd(13)} ${words === '' ? by : `${words} (${by})`}`];
}

/** At most 25 lines for people. */
export function formatExplanation(explained: ExplainedRequest, paint: Paint): string {
  const { action, model, at, told } = explained;
  const id = explained.request_id === null ? '' : `${explained.request_id}: `;
  const lines = [
    paint.bold(
      printable(
        `${id}${action}${model === null ? '' : ` on ${model}`}, ${at.replace('T', ' ').replace(/(\.\d+)?Z$/, ' UTC')}`,
      ),
    ),
    explained.caller,
    `bundle ${explained.digest.slice(0, 8)}${explained.note === null ? '' : `.  ${explained.note}`}`,
    '',
  ];
  const silent: string[] = [];
  for (const { stage, outcome, explanation } of explained.stages) {
    if (explanation === null) {
      if (outcome === 'not_reached') silent.push(stage);
      continue;
    }
    const mark = { passed: paint.green, refused: paint.red, not_reached: paint.dim, not_asked: paint.dim }[
      outcome
    ](marks[outcome]);
    lines.push(`${mark} ${stage.padEnd(13)} ${inOneLine(explanation)}`);
  }
  lines.push(...boundLines(explained.obligations, paint));
  if (silent.length > 0) lines.push(`${paint.dim('-')} ${silent.join(', ')}: not reached`);
  lines.push('');
  if (explained.seen !== null)
    lines.push('What was seen', ...seenLines(explained.seen).map((line) => `  ${line}`), '');
  if (explained.would_permit.length > 0)
    lines.push(
      'What would permit it',
      ...explained.would_permit.map((way, index) => `  ${index === 0 ? '' : 'or '}${way}`),
      '',
    );
  lines.push(
    told === null
      ? `${paint.green('Permitted')} by ${explained.decided_by ?? 'nothing'}.`
      : `The caller is told: ${told.status} ${told.code}: ${told.message}`,
    '',
  );
  return lines.join('\n');
}
