// One streamed completion through the gateway, on /v1/completions or /v1/chat/completions.
// A stream counts as complete only with its [DONE]: a bare close is a broken answer, not a short one.
import type { Connection } from './connection.ts';
import { readEvents } from './event-stream.ts';
import { exitCodes } from './exit-codes.ts';
import { CommandFailure } from './failure.ts';
import { callGateway, parseError, refusal, requestId } from './gateway-call.ts';
import { printable } from './wording.ts';

/** What is asked of the model. */
export interface CompletionOptions {
  readonly model: string;
  readonly prompt: string;
  readonly asChat: boolean;
  readonly system?: string | undefined;
  readonly maxTokens: number;
  readonly temperature?: number | undefined;
  readonly seed?: number | undefined;
}

/** Path and body of a streamed request. */
export interface CompletionRequest {
  readonly path: string;
  readonly body: Readonly<Record<string, unknown>>;
}

/** A complete answer with its figures. */
export interface CompletionResult {
  readonly model: string;
  readonly text: string;
  readonly finishReason: string | null;
  readonly usage: { readonly promptTokens: number; readonly completionTokens: number } | null;
  readonly firstTextMs: number | null;
  /** From the first text to the end. */
  readonly writingMs: number;
  readonly requestId: string | null;
}

/** Builds the request; members left out take the model's own default. */
export function completionRequest(options: CompletionOptions): CompletionRequest {
  const common = {
    model: options.model,
    stream: true,
    stream_options: { include_usage: true },
    ...(options.temperature === undefined ? {} : { temperature: options.temperature }),
    ...(options.seed === undefined ? {} : { seed: options.seed }),
  };
  if (!options.asChat)
    return {
      path: '/v1/completions',
      body: { ...common, prompt: options.prompt, max_tokens: options.maxTokens },
    };
  const messages = [
    ...(options.system === undefined ? [] : [{ role: 'system', content: options.system }]),
    { role: 'user', content: options.prompt },
  ];
  return {
    path: '/v1/chat/completions',
    body: { ...common, messages, max_completion_tokens: options.maxTokens },
  };
}

/** Streams an answer to `onText`. @throws CommandFailure for a refusal, an error event or a stream that breaks off */
export async function streamCompletion(
  connection: Connection,
  request: CompletionRequest,
  { signal, onText }: { readonly signal: AbortSignal; readonly onText: (text: string) => void },
): Promise<CompletionResult> {
  const startedAt = performance.now();
  const response = await callGateway(connection, request.path, { body: request.body, signal });
  const id = requestId(response);
  const answer = {
    text: '',
    model: null as string | null,
    finishReason: null as string | null,
    usage: null as CompletionResult['usage'],
  };
  let firstAt: number | null = null;
  let isComplete = false;
  for await (const event of events(response, id)) {
    if (event === '[DONE]') {
      isComplete = true;
      break;
    }
    const chunk = parseChunk(event, id);
    answer.model = chunk.model ?? answer.model;
    answer.finishReason = chunk.finishReason ?? answer.finishReason;
    answer.usage = chunk.usage ?? answer.usage;
    if (chunk.text === '') continue;
    firstAt ??= performance.now();
    answer.text += chunk.text;
    onText(chunk.text);
  }
  if (!isComplete) throw brokenOff(id);
  return {
    ...answer,
    model: printable(answer.model ?? String(request.body['model'])),
    firstTextMs: firstAt === null ? null : firstAt - startedAt,
    writingMs: firstAt === null ? 0 : performance.now() - firstAt,
    requestId: id,
  };
}

async function* events(response: Response, id: string | null): AsyncGenerator<string, void> {
  if (response.body === null) return;
  try {
    yield* readEvents(response.body);
  } catch {
    throw brokenOff(id);
  }
}

interface Chunk {
  readonly text: string;
  readonly model: string | null;
  readonly finishReason: string | null;
  readonly usage: CompletionResult['usage'];
}

interface WireChunk {
  readonly error?: unknown;
  readonly model?: string;
  readonly choices?: readonly {
    readonly text?: string;
    readonly delta?: { readonly content?: string | null };
    readonly finish_reason?: string | null;
  }[];
  readonly usage?: { readonly prompt_tokens: number; readonly completion_tokens: number } | null;
}

function parseChunk(event: string, id: string | null): Chunk {
  let wire: WireChunk;
  try {
    wire = JSON.parse(event) as WireChunk; // Border: the gateway's own stream; missing members are handled.
  } catch {
    throw brokenOff(id);
  }
  if (wire.error !== undefined)
    throw refusal(parseError(wire.error), 502, id, 'The answer broke off: {message}');
  const choice = wire.choices?.[0];
  return {
    text: choice?.text ?? choice?.delta?.content ?? '',
    model: wire.model ?? null,
    finishReason: choice?.finish_reason ?? null,
    usage: wire.usage
      ? { promptTokens: wire.usage.prompt_tokens, completionTokens: wire.usage.completion_tokens }
      : null,
  };
}

function brokenOff(id: string | null): CommandFailure {
  return new CommandFailure(
    exitCodes.unreachable,
    'The answer broke off: the connection ended before the model was done.',
    {
      code: 'stream_broken',
      hints: ['What was printed is not the whole answer.', ...(id === null ? [] : [id])],
    },
  );
}
