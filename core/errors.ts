// The one catalogue of refusals. Codes are public and stable: where a standard or the OpenAI API names the
// condition, our code is that name. Messages are fixed text plus named safe parameters; why exactly a credential
// failed is the private `reason`, which goes to the audit record only.

/** How the OpenAI-shaped `type` member names a family of errors. */
export type OpenAiErrorType =
  | 'authentication_error'
  | 'invalid_request_error'
  | 'permission_error'
  | 'rate_limit_error'
  | 'insufficient_quota'
  | 'server_error';

/** The columns of the catalogue. */
export interface ErrorDefinition {
  /** HTTP status of the answer. */
  readonly status: number;
  /** Fixed public text; `{name}` is replaced by a safe parameter. Characters of RFC 6750 §3 error_description only. */
  readonly message: string;
  /** The `detail` of problem+json where the field's tutorials expect a fixed sentence. */
  readonly detail?: string;
  readonly openAiType: OpenAiErrorType;
  /** `error` of the `WWW-Authenticate` challenge; `none` sends a bare challenge, `null` sends no challenge. */
  readonly challenge:
    | 'none'
    | 'invalid_request'
    | 'invalid_token'
    | 'insufficient_scope'
    | 'invalid_dpop_proof'
    | 'use_dpop_nonce'
    | 'insufficient_user_authentication'
    | null;
  /** Whether the same request may succeed later; `false` sends `x-should-retry: false` on 429 and 5xx. */
  readonly retryable: boolean;
}

const invalid = (status: number, message: string): ErrorDefinition => ({
  status,
  message,
  openAiType: 'invalid_request_error',
  challenge: null,
  retryable: false,
});
const server = (status: number, message: string): ErrorDefinition => ({
  status,
  message,
  openAiType: 'server_error',
  challenge: null,
  retryable: true,
});

/** Every refusal the gateway can answer with. A retired code is listed in docs/errors/ and never reused. */
export const errorCatalogue = {
  missing_credentials: {
    status: 401,
    message:
      'Not authenticated: send an access token as Authorization: Bearer. npx sallyport login gets one.',
    detail: 'Not authenticated',
    openAiType: 'authentication_error',
    challenge: 'none',
    retryable: false,
  },
  invalid_request: {
    status: 400,
    message:
      'The credentials are malformed or empty, or more than one was sent. Send one header, Authorization: Bearer and an access token.',
    openAiType: 'invalid_request_error',
    challenge: 'invalid_request',
    retryable: false,
  },
  invalid_token: {
    status: 401,
    message:
      'The access token has expired, or is for another audience, client or issuer. Sign in again; npx sallyport doctor, or the operator by the x-request-id, tells why.',
    openAiType: 'authentication_error',
    challenge: 'invalid_token',
    retryable: false,
  },
  invalid_credentials: {
    status: 401,
    message: 'The user name or the password is wrong, or the account may not sign in.',
    openAiType: 'authentication_error',
    challenge: 'none',
    retryable: false,
  },
  credential_revoked: {
    status: 401,
    message: 'The access token or API key was revoked. Sign in again, or use another key.',
    openAiType: 'authentication_error',
    challenge: 'invalid_token',
    retryable: false,
  },
  invalid_dpop_proof: {
    status: 401,
    message: 'The DPoP proof is missing or not valid for this request and access token.',
    openAiType: 'authentication_error',
    challenge: 'invalid_dpop_proof',
    retryable: false,
  },
  use_dpop_nonce: {
    status: 401,
    message: 'Send the request again with a DPoP proof that holds the nonce of this answer.',
    openAiType: 'authentication_error',
    challenge: 'use_dpop_nonce',
    retryable: false,
  },
  insufficient_scope: {
    status: 403,
    message:
      'The access token lacks a scope or claim that this gateway requires. Sign in again and ask for the scope that WWW-Authenticate names.',
    openAiType: 'permission_error',
    challenge: 'insufficient_scope',
    retryable: false,
  },
  insufficient_user_authentication: {
    status: 401,
    message: 'This needs a stronger or more recent sign-in. Sign in again.',
    openAiType: 'authentication_error',
    challenge: 'insufficient_user_authentication',
    retryable: false,
  },
  access_denied: {
    status: 403,
    message:
      'Neither your roles nor the rules here permit {action}. Ask an administrator; after a change of roles, sign in again.',
    openAiType: 'permission_error',
    challenge: null,
    retryable: false,
  },
  admin_access_required: {
    status: 403,
    message: 'Admin access required',
    openAiType: 'permission_error',
    challenge: null,
    retryable: false,
  },
  model_not_found: invalid(
    404,
    'There is no model {model}, or you may not use it. GET /v1/models lists yours.',
  ),
  endpoint_not_found: invalid(
    404,
    'There is no such endpoint. The OpenAI API is below /v1; /docs lists every endpoint.',
  ),
  method_not_allowed: invalid(405, 'This endpoint does not answer that method. Allowed: {allowed}.'),
  malformed_request: invalid(400, 'The HTTP request is malformed: {problem}.'),
  headers_too_large: invalid(431, 'The request headers are too large or too many.'),
  body_invalid: invalid(400, 'The request body is not acceptable: {problem}.'),
  body_too_large: invalid(413, 'The request body is larger than {limit} bytes.'),
  unsupported_media_type: invalid(
    415,
    'Send the body as application/json in UTF-8, without content encoding.',
  ),
  expectation_failed: invalid(417, 'The Expect header is not supported.'),
  request_timeout: { ...invalid(408, 'The request did not arrive in time.'), retryable: true },
  parameter_above_ceiling: invalid(400, 'The parameter {param} is above its ceiling of {ceiling}. Lower it.'),
  context_length_exceeded: invalid(
    400,
    'The prompt and the answer asked for are longer than the context of the model. Shorten the prompt or lower max_tokens.',
  ),
  content_blocked: invalid(
    400,
    'A policy of this gateway blocks this content. Reword it; the operator can tell by the x-request-id which rule it is.',
  ),
  rate_limit_exceeded: {
    status: 429,
    message: 'Too many requests: {limit} per {window}. Try again in {retryAfter}.',
    openAiType: 'rate_limit_error',
    challenge: null,
    retryable: true,
  },
  insufficient_quota: {
    status: 429,
    message: 'The quota is used up: {limit} per {window}. It begins anew in {retryAfter}.',
    openAiType: 'insufficient_quota',
    challenge: null,
    retryable: false,
  },
  limit_store_unavailable: server(503, 'The store of the rate limits does not answer.'),
  decision_point_unavailable: server(
    503,
    'The service that must permit this, too, does not answer. Try again later.',
  ),
  audit_unavailable: server(503, 'The audit log cannot be written, so nothing is answered.'),
  issuer_unavailable: server(503, 'The issuer of the credential cannot be asked whether it is good.'),
  directory_unavailable: server(503, 'The directory that knows your groups does not answer. Try again.'),
  revocation_unavailable: server(503, 'The revocation could not be recorded everywhere. Try again.'),
  upstream_unavailable: server(502, 'The model server cannot be reached.'),
  upstream_invalid_response: server(502, 'The model server sent an invalid answer.'),
  upstream_timeout: server(504, 'The model server did not answer in time.'),
  server_is_overloaded: server(503, 'The server is busy.'),
  gateway_stopping: server(503, 'The gateway is stopping.'),
  internal_error: server(500, 'Something went wrong in the gateway.'),
} as const satisfies Record<string, ErrorDefinition>;

/** A code of the catalogue. */
export type ErrorCode = keyof typeof errorCatalogue;

/** Sign-in that would be enough. */
export interface RequiredSignIn {
  /** Any of these, best first; empty when none is named. */
  readonly acrValues: readonly string[];
  /** Seconds since the sign-in, at most; null when any age will do. */
  readonly maxAge: number | null;
}

/** What a refusal says besides its code. */
export interface GatewayErrorOptions {
  /** Values for the `{name}` places of the public message: never a credential, prompt or address of ours. */
  readonly params?: Readonly<Record<string, string | number>>;
  /** Why, for the audit record alone: `exp`, `aud`, `signature`, `kid_unknown` … */
  readonly reason?: string;
  /** The sign-in that the challenge asks for (RFC 9470). */
  readonly stepUp?: RequiredSignIn;
  /** OpenAI's `param`: the body member that is wrong. */
  readonly param?: string;
  /** Seconds until a retry can succeed (`Retry-After`). */
  readonly retryAfterSeconds?: number;
  /** Further response headers that belong to this refusal, lower-case names. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly cause?: unknown;
}

/** A catalogued refusal; branch on `code`, never on text. */
export class GatewayError extends Error {
  readonly code: ErrorCode;
  readonly params: Readonly<Record<string, string | number>>;
  readonly reason: string | undefined;
  readonly stepUp: RequiredSignIn | undefined;
  readonly param: string | undefined;
  readonly retryAfterSeconds: number | undefined;
  readonly headers: Readonly<Record<string, string>> | undefined;

  constructor(code: ErrorCode, options: GatewayErrorOptions = {}) {
    super(code, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'GatewayError';
    this.code = code;
    this.params = options.params ?? {};
    this.reason = options.reason;
    this.stepUp = options.stepUp;
    this.param = options.param;
    this.retryAfterSeconds = options.retryAfterSeconds;
    this.headers = options.headers;
  }

  get definition(): ErrorDefinition {
    return errorCatalogue[this.code];
  }

  /** The fixed public sentence with its safe parameters filled in. */
  get publicMessage(): string {
    return this.fill(this.definition.message);
  }

  /** The `detail` of problem+json. */
  get publicDetail(): string {
    return this.fill(this.definition.detail ?? this.definition.message);
  }

  private fill(sentence: string): string {
    return sentence.replaceAll(/\{(\w+)\}/g, (_, name: string) => sanitise(this.params[name] ?? ''));
  }
}

// RFC 6750 §3: error_description may hold only %x20-21, %x23-5B, %x5D-7E; longer echoes are cut.
function sanitise(value: string | number): string {
  return String(value)
    .replaceAll(/[^\x20-\x21\x23-\x5B\x5D-\x7E]/g, '?')
    .slice(0, 128);
}
