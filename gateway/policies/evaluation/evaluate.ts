// Answers one question as the gateway would: the same claim checks, the same authorize and guard stages over a snapshot of
// the bundle; only the signature, the limits and the upstream are left out.
import type { IncomingHttpHeaders } from 'node:http';
import { GatewayError } from '../../../core/errors.ts';
import { createLog } from '../../../core/log.ts';
import { parseAccessToken, type UnverifiedAccessToken } from '../../authenticate/access-token.ts';
import { invalidToken } from '../../authenticate/invalid-token.ts';
import { certificatePrincipal, type ShownCertificate } from '../../authenticate/certificate/index.ts';
import { checkHeader, judgeClaims, rulesByIssuer } from '../../authenticate/judge-claims.ts';
import type { IssuerRules } from '../../authenticate/issuer-rules.ts';
import { authorize, evaluationRequest, oblige, type Obligations } from '../../authorize/index.ts';
import { decide } from '../../authorize/decide.ts';
import type { Decision } from '../../authorize/evaluation.ts';
import { newOutcome, type Limited, type Outcome, type Parsed } from '../../exchange.ts';
import { guard } from '../../guard/index.ts';
import type { Bundle } from '../bundle.ts';
import type { PolicyContext } from '../context.ts';
import type { Route } from '../routes.ts';
import { buildSnapshot } from '../snapshot.ts';
import { anonymousPrincipal, type Principal } from '../../principal.ts';
import type { Snapshot } from '../../snapshot.ts';

/** Who asks for what. */
export interface Question {
  /**
   * A compact JWS whose signature is not looked at, a client certificate whose chain and revocation are not, a principal
   * that stands for one, or null for no credential.
   */
  readonly credential: string | Principal | { readonly certificate: ShownCertificate } | null;
  readonly action: string;
  /** Name of the route; null takes the first with the action. */
  readonly route: string | null;
  readonly model: string | null;
  /** The request body; null runs no guard. */
  readonly request: Readonly<Record<string, unknown>> | null;
  /** Header fields, names in lower case; absent: none. */
  readonly headers?: IncomingHttpHeaders;
  /** Epoch ms. */
  readonly now: number;
  readonly from: string;
  /** Only the decision: no guard runs, and no rule is looked at beyond what decides. */
  readonly brief?: boolean;
  /** Tuples that hold beside those of relations.yaml. */
  readonly relations?: readonly string[];
}

export type Stage = 'authenticate' | 'authorize' | 'guard';

/** What the gateway would answer, and why. */
export interface Answer {
  readonly route: Route;
  /** Null when the request is permitted. */
  readonly refusal: GatewayError | null;
  /** The stage that refused. */
  readonly stage: Stage | null;
  readonly accessToken: UnverifiedAccessToken | null;
  /** The issuers.yaml entry that judged the token, or null when none did. */
  readonly issuer: IssuerRules | null;
  readonly principal: Principal | null;
  readonly model: string | null;
  /** `roles.LLM.User`, `rules.freeze`; null when nothing decided. */
  readonly decidedBy: string | null;
  /** With every role and rule that was looked at; null when authorize was not reached. */
  readonly decision: Decision | null;
  /** What the permit is bound to, or null. */
  readonly obligations: Obligations | null;
}

/** A compiled bundle that answers questions. */
export interface Evaluator {
  readonly snapshot: Snapshot;
  /** What each accepted `iss` demands. */
  readonly issuers: ReadonlyMap<string, IssuerRules>;
  /** @throws Error when no route has the action */
  readonly answer: (question: Question) => Answer;
}

/** What is compiled: a bundle or a mutation of it. */
export interface EvaluatorSource {
  readonly bundle: Bundle;
  readonly context: PolicyContext;
}

const silent = createLog('policy', 'silent');

/** Compiles a bundle for questions; opens nothing. */
export function createEvaluator({ bundle, context }: EvaluatorSource): Evaluator {
  const { embeddedIssuer } = context;
  const snapshot = buildSnapshot(bundle, {
    version: 1,
    context,
    authentication: { embeddedIssuer, log: silent },
  });
  const issuers = rulesByIssuer(bundle.issuers, embeddedIssuer);
  return {
    snapshot,
    issuers,
    answer: (question) => answer(question, withRelations(snapshot, question.relations), issuers),
  };
}

/** The snapshot in which further tuples hold. */
export function withRelations(snapshot: Snapshot, tuples: readonly string[] | undefined): Snapshot {
  return tuples === undefined ? snapshot : { ...snapshot, relations: snapshot.relations.with(tuples) };
}

/** The route that a question is about; undefined when there is none. */
export function routeFor(
  snapshot: Snapshot,
  { action, route }: Pick<Question, 'action' | 'route'>,
): Route | undefined {
  return snapshot.routes.routes.find(
    (each) => each.action === action && (route === null || each.name === route),
  );
}

function answer(question: Question, snapshot: Snapshot, issuers: ReadonlyMap<string, IssuerRules>): Answer {
  const route = routeFor(snapshot, question);
  if (route === undefined) throw new Error(`no route has the action ${question.action}`);
  const found: { -readonly [Member in keyof Answer]: Answer[Member] } = {
    route,
    refusal: null,
    stage: null,
    accessToken: null,
    issuer: null,
    principal: null,
    model: question.model,
    decidedBy: null,
    decision: null,
    obligations: null,
  };
  let stage: Stage = 'authenticate';
  let outcome: Outcome | null = null;
  try {
    const principal = authenticated(question, found, { issuers, snapshot });
    found.principal = principal;
    stage = 'authorize';
    const parsed = exchangeFor(question, { route, principal, snapshot });
    outcome = parsed.outcome;
    found.decision = tracedDecision(question, parsed);
    const authorized = authorize(parsed);
    found.model = authorized.model;
    found.obligations = authorized.effective.obligations;
    found.decidedBy = parsed.outcome.decidedBy ?? found.decision?.decidedBy ?? null;
    stage = 'guard';
    // The limits are not asked: they count, and nothing is counted here.
    // What limit adds, guard does not read.
    if (runsGuards(question)) guard(oblige(authorized) as Limited);
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    found.refusal = error;
    found.stage = stage;
    // The stage's own word comes first: it knows the model that it chose, and whose obligations cannot be fulfilled.
    if (stage === 'authorize') found.decidedBy = outcome?.decidedBy ?? found.decision?.decidedBy ?? null;
  }
  return found;
}

const runsGuards = ({ request, brief }: Question): boolean => request !== null && brief !== true;

const tracedDecision = ({ model, brief }: Question, parsed: Parsed): Decision | null =>
  brief === true ? null : decide(evaluationRequest(parsed, model), parsed.snapshot, { trace: true });

function authenticated(
  { credential, now, from }: Question,
  found: { accessToken: UnverifiedAccessToken | null; issuer: IssuerRules | null; readonly route: Route },
  { issuers, snapshot }: { issuers: ReadonlyMap<string, IssuerRules>; snapshot: Snapshot },
): Principal {
  if (found.route.anonymous) return anonymousPrincipal(from);
  if (credential === null) throw new GatewayError('missing_credentials', { reason: 'no_credentials' });
  if (typeof credential !== 'string') {
    if (!('certificate' in credential)) return credential;
    const { clientCertificates } = snapshot;
    if (clientCertificates === null)
      throw new GatewayError('missing_credentials', { reason: 'no_credentials' });
    return certificatePrincipal(credential.certificate, clientCertificates, now);
  }
  const accessToken = parseAccessToken(credential);
  found.accessToken = accessToken;
  const rules = issuers.get(accessToken.issuer);
  if (rules === undefined) throw invalidToken('iss');
  found.issuer = rules;
  checkHeader(accessToken, rules);
  return judgeClaims(accessToken, rules, now / 1_000);
}

/** The part of an exchange that authorize and guard read. */
function exchangeFor(
  { model, request, headers = {}, now, from }: Question,
  { route, principal, snapshot }: { route: Route; principal: Principal; snapshot: Snapshot },
): Parsed {
  const isJudged = route.kind === 'openai' || route.kind === 'generate';
  const json = { ...(model === null ? {} : { model }), ...request };
  const exchange = {
    route,
    principal,
    snapshot,
    model,
    pathModel: null,
    body: isJudged ? { bytes: Buffer.alloc(0), json } : null,
    request: { headers },
    callerAddress: from,
    receivedAt: now,
    outcome: newOutcome(),
  };
  // There is no socket here: request, response and services are what these two stages never touch.
  return exchange as unknown as Parsed;
}
