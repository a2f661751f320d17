// Calls the gateway with the stored sign-in, and turns its refusals into failures with an exit code.
// The access token goes to the gateway it was issued for and to no other origin.
import type { Connection } from './connection.ts';
import { exitCodes, type ExitCode } from './exit-codes.ts';
import { CommandFailure } from './failure.ts';
import { tlsFailure, unreachableGateway } from './sign-in/discovery.ts';
import { loginWords } from './sign-in/renewal.ts';
import { stepUpFlags, stepUpOf, type StepUp } from './sign-in/step-up.ts';
import { processTerminal, type Terminal } from './terminal.ts';
import { printable } from './wording.ts';

/** The `error` member of an OpenAI-shaped answer. */
export interface OpenAiError {
  readonly message: string;
  readonly code: string;
  readonly documentation: string | null;
}

/** One request. */
export interface GatewayRequest {
  /** Default: GET, with a body POST. */
  readonly method?: 'DELETE';
  readonly body?: unknown;
  readonly signal?: AbortSignal;
  /** For the whole answer, of each attempt. */
  readonly timeoutMs?: number;
  /** Never asks a person for anything; default: false. */
  readonly neverAsks?: boolean;
}

/**
 * Sends one request; answers only a 2xx. When the gateway asks for a stronger or more recent sign-in, a person on a terminal
 * signs in again and the request is sent once more.
 * @throws CommandFailure for a refusal or when nobody answers
 */
export async function callGateway(
  connection: Connection,
  path: string,
  init: GatewayRequest = {},
): Promise<Response> {
  const response = await send(connection, path, init);
  if (response.ok) return response;
  const stepUp = stepUpOf(response.headers.get('www-authenticate'));
  if (stepUp === null) throw refusal(await readError(response), response.status, requestId(response));
  const terminal = processTerminal();
  if (!terminal.interactive || init.neverAsks === true)
    throw stepUpNeeded(await readError(response), stepUp, { connection, response });
  await signInAgain(connection, terminal, { stepUp, signal: init.signal ?? new AbortController().signal });
  const repeated = await send(connection, path, init);
  if (repeated.ok) return repeated;
  const error = await readError(repeated);
  if (stepUpOf(repeated.headers.get('www-authenticate')) !== null) throw stillNotEnough(error, repeated);
  throw refusal(error, repeated.status, requestId(repeated));
}

async function send(connection: Connection, path: string, init: GatewayRequest): Promise<Response> {
  const { gateway } = connection.address;
  const session = await connection.session();
  const signals = [
    ...(init.signal === undefined ? [] : [init.signal]),
    ...(init.timeoutMs === undefined ? [] : [AbortSignal.timeout(init.timeoutMs)]),
  ];
  try {
    return await connection.fetch(`${gateway}${path}`, {
      method: init.method ?? (init.body === undefined ? 'GET' : 'POST'),
      headers: {
        authorization: `Bearer ${session.access_token}`,
        accept: 'application/json',
        ...(init.body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(init.body === undefined ? {} : { body: JSON.stringify(init.body) }),
      ...(signals.length === 0 ? {} : { signal: AbortSignal.any(signals) }),
    });
  } catch (error) {
    throw tlsFailure(error, gateway) ?? unreachableGateway(gateway);
  }
}

async function signInAgain(
  connection: Connection,
  terminal: Terminal,
  { stepUp, signal }: { readonly stepUp: StepUp; readonly signal: AbortSignal },
): Promise<void> {
  terminal.say('The gateway asks for a stronger or more recent sign-in.');
  terminal.say();
  const { client_id: clientId } = await connection.session();
  const { personLogin } = await import('./sign-in/person-login.ts');
  const session = await personLogin(connection, terminal, { signal, clientId, stepUp });
  terminal.say();
  terminal.say(
    `${terminal.green('✓')} Signed in as ${printable(session.username ?? session.subject ?? '?')}`,
  );
  terminal.say();
}

/** Off a terminal nobody can sign in: the exact command is said. */
function stepUpNeeded(
  error: OpenAiError,
  stepUp: StepUp,
  { connection, response }: { readonly connection: Connection; readonly response: Response },
): CommandFailure {
  const { message, exitCode, hints } = refusal(error, response.status, requestId(response));
  const command = `sallyport ${loginWords(connection.address)}${stepUpFlags(stepUp)}`;
  return new CommandFailure(exitCode, message, {
    code: error.code,
    hints: [`Sign in again:  ${command}`, ...hints.slice(1)],
  });
}

function stillNotEnough(error: OpenAiError, response: Response): CommandFailure {
  const { exitCode, hints } = refusal(error, response.status, requestId(response));
  const sentence = 'The new sign-in is still not what the gateway asks for';
  return new CommandFailure(exitCode, `${sentence} (${error.code}).`, {
    code: error.code,
    hints: ['The sign-in server may not offer it. Ask whoever runs the gateway.', ...hints.slice(1)],
  });
}

/** The models that the signed-in subject may use. */
export async function listModels(
  connection: Connection,
  options: Pick<GatewayRequest, 'signal' | 'neverAsks'> = {},
): Promise<{ readonly models: readonly string[]; readonly headers: Headers }> {
  const response = await callGateway(connection, '/v1/models', { timeoutMs: 15_000, ...options });
  const answer = (await response.json()) as Record<string, unknown>; // Border: the list and its ids are checked here.
  const list: readonly unknown[] = Array.isArray(answer['data']) ? answer['data'] : [];
  const models = list.flatMap((entry) =>
    typeof entry === 'object' && entry !== null && 'id' in entry && typeof entry.id === 'string'
      ? [printable(entry.id)]
      : [],
  );
  return { models, headers: response.headers };
}

/** The id under which the gateway recorded the request. */
export function requestId(response: Response): string | null {
  const id = response.headers.get('x-request-id');
  return id === null ? null : printable(id).slice(0, 64);
}

/** The failure for an `error` member, of an answer or inside a stream. */
export function refusal(
  error: OpenAiError,
  status: number,
  request: string | null,
  sentence = '{message}',
): CommandFailure {
  const message = sentence.replace('{message}', error.message.replace(/\.$/, ''));
  const reference = [error.documentation, request].filter((part) => part !== null).join('     ');
  const hints = [
    ...(status === 401 ? ['Sign in again:  sallyport login'] : []),
    ...(reference === '' ? [] : [reference]),
  ];
  return new CommandFailure(exitCodeOf(status, error.code), `${message} (${error.code}).`, {
    code: error.code,
    hints,
  });
}

/** Reads the members that are shown from an `error` object, whatever it holds. */
export function parseError(value: unknown): OpenAiError {
  const error = typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  const text = (name: string): string | null =>
    typeof error[name] === 'string' ? printable(error[name]).slice(0, 500) : null;
  return {
    message: text('message') ?? 'The gateway refused the request',
    code: text('code') ?? 'unknown',
    documentation: text('doc_url'),
  };
}

/** RFC 9457: the shape of refusals outside the OpenAI paths; `type` links the page when it is an address. */
function parseProblem(problem: object): OpenAiError {
  const { detail, type, ...members } = problem as Record<string, unknown>;
  const page = typeof type === 'string' && /^https?:/.test(type) ? { doc_url: type } : {};
  return parseError({ ...members, message: detail, ...page });
}

async function readError(response: Response): Promise<OpenAiError> {
  try {
    const body: unknown = await response.json();
    if (typeof body === 'object' && body !== null && 'error' in body) return parseError(body.error);
    if (typeof body === 'object' && body !== null && 'detail' in body) return parseProblem(body);
  } catch {
    // Not JSON: something else answered.
  }
  return {
    message: `The gateway answered with status ${response.status}`,
    code: `http_${response.status}`,
    documentation: null,
  };
}

const refusedCodes: readonly string[] = [
  'model_not_found',
  'content_blocked',
  'parameter_above_ceiling',
  'insufficient_scope',
  'access_denied',
];

function exitCodeOf(status: number, code: string): ExitCode {
  if (status === 401) return exitCodes.signInNeeded;
  if (status === 429) return exitCodes.rateLimited;
  if (status === 403 || refusedCodes.includes(code)) return exitCodes.refused;
  if (status === 502 || status === 503 || status === 504) return exitCodes.unreachable;
  if (status >= 400 && status < 500) return exitCodes.usage;
  return exitCodes.unexpected;
}
