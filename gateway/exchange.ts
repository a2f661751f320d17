// One request on its way through the pipeline. Each stage takes the exchange of the stage before and returns the
// next type, so the compiler refuses a forward that was never authorized. One object is filled in place: the types
// widen, nothing is copied on the hot path. No stage sees Express.
import type { GatewayError } from '../core/errors.ts';
import type { Effective } from './authorize/index.ts';
import type { CallerRequest, CallerResponse, EndSignal } from './caller.ts';
import type { Reservation } from './limit/index.ts';
import type { Principal } from './principal.ts';
import type { Route } from './policies/routes.ts';
import type { Services } from './services.ts';
import type { Snapshot } from './snapshot.ts';

/** The one normalised request target: what is matched is what is forwarded. */
export interface RequestTarget {
  /** Starts with `/`, no dot segments, no percent-encoding, no `//`, no `;` or `\`. */
  readonly path: string;
  /** Without `?`; empty when there is none. */
  readonly query: string;
}

/** The body, read and parsed once; `bytes` is what the upstream receives. */
export interface RequestBody {
  readonly bytes: Buffer;
  readonly json: Readonly<Record<string, unknown>>;
  /** Whether every text in `json` is known to be printable ASCII and plain white space (strict-json.ts). */
  readonly isPlain?: boolean;
}

/** A request with a route, before anything was judged. */
export interface Received {
  /** `req_` and 26 characters, also the `x-request-id` response header. */
  readonly id: string;
  readonly request: CallerRequest;
  readonly response: CallerResponse;
  readonly target: RequestTarget;
  readonly route: Route;
  /** Model named in the path of an Azure-style route, or null. */
  readonly pathModel: string | null;
  readonly snapshot: Snapshot;
  readonly services: Services;
  readonly callerAddress: string;
  /** Epoch ms, for the audit record. */
  readonly receivedAt: number;
  /** Monotonic ms, for durations. */
  readonly startedAt: number;
  /** Aborts when the caller goes away or the gateway stops hard. */
  readonly signal: EndSignal;
  /** What the later stages learn; account reads it whatever happened. */
  readonly outcome: Outcome;
}

/** What accounting records; the only member that stages write before the type widens. */
export interface Outcome {
  principal: Principal | null;
  model: string | null;
  /** Roles and rule that decided, e.g. `roles.LLM.User`; null before authorize. */
  decidedBy: string | null;
  /** Rules whose obligations bind the permit, or null. */
  obligedBy: readonly string[] | null;
  upstream: string | null;
  promptTokens: number | null;
  completionTokens: number | null;
  /** Monotonic ms at the first byte of the answer's body. */
  firstByteAt: number | null;
  /** The answer's head said `text/event-stream`. */
  streamed: boolean;
  /** The refusal, or null for an answer that an upstream or endpoint gave. */
  refusal: GatewayError | null;
  /** The caller went away before the end. */
  aborted: boolean;
  /** The body that the decision was made on, where obligations have written it anew; else null. */
  bodyAsJudged: RequestBody | null;
  /** On routes of kind `decision`: whom and what the asking service asked about, and the answers; null elsewhere. */
  asked: readonly (Asked | Searched)[] | null;
}

/** One question of another service and its answer, without properties. */
export interface Asked {
  /** `type:id`. */
  readonly subject: string;
  readonly action: string;
  /** `type:id`. */
  readonly resource: string;
  readonly permitted: boolean;
  /** What decided. */
  readonly code: string;
}

/** One search of another service, with `*` for what it sought. */
export interface Searched {
  readonly subject: string;
  readonly action: string;
  readonly resource: string;
  /** Results of the page. */
  readonly found: number;
}

/** An outcome of which nothing is known yet. */
export function newOutcome(): Outcome {
  return {
    principal: null,
    model: null,
    decidedBy: null,
    obligedBy: null,
    upstream: null,
    promptTokens: null,
    completionTokens: null,
    firstByteAt: null,
    streamed: false,
    refusal: null,
    aborted: false,
    bodyAsJudged: null,
    asked: null,
  };
}

/** After authenticate. */
export type Authenticated = Received & { readonly principal: Principal };
/** After the body was read. */
export type Parsed = Authenticated & {
  /** Null on routes of kind `http` and `decision`, whose body is read later, and on GET. */
  readonly body: RequestBody | null;
  /** The model that the request is about, or null where the action has none (models.list, admin). */
  readonly model: string | null;
};
/** After authorize. */
export type Authorized = Parsed & { readonly effective: Effective };
/** After limit: counted. */
export type Limited = Authorized & { readonly reservation: Reservation };
/** After guard: may be forwarded. */
export type Guarded = Limited & { readonly guarded: true };
