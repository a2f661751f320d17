// The words in which a decision is asked for and given: the request in the shape of OpenID AuthZEN 1.0 (subject, action,
// resource, context), the decision with its reasons. Types only.
import type { IncomingHttpHeaders } from 'node:http';
import type { Principal } from '../principal.ts';
import type { Obligations } from './obligations.ts';

/** Who wants to do what, on what, in which circumstances. */
export interface EvaluationRequest {
  readonly subject: {
    readonly type: 'principal' | 'anonymous';
    /** The principal's key. */
    readonly id: string;
    readonly properties: Principal;
  };
  readonly action: { readonly name: string };
  /** The model that the request is about; type `gateway` for actions about none, whatever the id. */
  readonly resource: { readonly type: 'model' | 'gateway' | 'foreign'; readonly id: string };
  /** For type `foreign`: the resource of another service, and what that service stated (gateway/access). */
  readonly foreign?: ForeignQuestion;
  readonly context: {
    /** Epoch ms. */
    readonly now: number;
    readonly callerAddress: string;
    /** Name of the route; empty when the question did not come over one. */
    readonly route: string;
    /** The request's header fields, names in lower case; absent where there is no request. */
    readonly headers?: IncomingHttpHeaders;
    /** The parsed request body, from which `request` in CEL is read; null where there is none. */
    readonly body: Readonly<Record<string, unknown>> | null;
  };
}

/** A subject or a resource in the words of another service. */
export interface Entity {
  readonly type: string;
  readonly id: string;
  readonly properties: Readonly<Record<string, unknown>>;
}

/** What another service asks about: subject, action, resource and context as AuthZEN has them. */
export interface ForeignQuestion {
  readonly subject: Entity;
  readonly action: { readonly name: string; readonly properties: Readonly<Record<string, unknown>> };
  readonly resource: Entity;
  readonly context: Readonly<Record<string, unknown>>;
}

/** One thing that spoke for or against: a role, or a condition of a rule, and where it is written. */
export interface Reason {
  /** `roles.LLM.User` or `rules.freeze-weekends`; `default` when nothing permits. */
  readonly rule: string;
  /** `roles.yaml` or `rules.yaml`. */
  readonly file: string;
  /** Line of the role or rule; 0 when nothing in the file is meant. */
  readonly line: number;
  /** The key of the rule (`models`, `when` …), or `permits`, `separation_of_duties` for roles. */
  readonly condition: string;
  /** `<condition>_matched`, `<condition>_not_matched`, `when_failed`, `obligations_conflict`, or a code of the roles (`role_permits`, `model_unknown` …). */
  readonly code: string;
}

/** Stronger or fresher authentication that a rule asks for (RFC 9470). */
export interface StepUp {
  readonly acrValues: readonly string[];
  readonly amr: readonly string[];
  /** Seconds, or null when any age will do. */
  readonly maxAge: number | null;
}

/** The answer to an evaluation request. */
export interface Decision {
  readonly decision: 'permit' | 'deny';
  /** What decided, first; with `trace`, everything that was looked at, in order. */
  readonly reasons: readonly Reason[];
  /** `roles.LLM.User`, `rules.freeze-weekends`, `anonymous`; null when nothing permits (default deny). */
  readonly decidedBy: string | null;
  /** The private reason for the audit record: the code of what decided. */
  readonly code: string;
  /** On a deny: permitted, were the caller authenticated so. */
  readonly stepUp: StepUp | null;
  /** Effective roles of the subject. */
  readonly roles: ReadonlySet<string>;
  /** What a permit is bound to; null for nothing, and on a deny. */
  readonly obligations: Obligations | null;
}
