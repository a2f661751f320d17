// `sallyport chat`: a prompt in, the model's continuation streamed to stdout, one line of figures on stderr.
import { InvalidArgumentError, type Command } from 'commander';
import { connect, withConnectionOptions, type Connection, type ConnectionOptions } from '../connection.ts';
import { exitCodes } from '../exit-codes.ts';
import { CommandFailure } from '../failure.ts';
import { listModels } from '../gateway-call.ts';
import { interruptible } from '../interrupt.ts';
import { completionRequest, streamCompletion, type CompletionResult } from '../completion.ts';
import { processTerminal, type Terminal } from '../terminal.ts';
import { printable } from '../wording.ts';

interface ChatOptions extends ConnectionOptions {
  readonly model?: string;
  readonly chat?: boolean;
  readonly system?: string;
  readonly maxTokens: number;
  readonly temperature?: number;
  readonly seed?: number;
  readonly json?: boolean;
}

/** Adds `chat` to the tree. */
export function registerChatCommand(program: Command): void {
  withConnectionOptions(program.command('chat'))
    .description('Continue a text with a model. The text is echoed, unless it came from stdin.')
    .addHelpText(
      'before',
      'Example:\n  sallyport chat "The future of AI is"\n  git diff | sallyport chat --model gpt2 -\n',
    )
    .argument('[prompt...]', 'the text to continue; - reads stdin')
    .option('-m, --model <name>', 'the model (default: the first you may use)')
    .option('--chat', 'send it as a chat message, not as a text to continue')
    .option('--system <text>', 'system message; implies --chat')
    .option('--max-tokens <n>', 'at most this many new tokens', numberArgument, 64)
    .option('--temperature <n>', '0 is always the most likely word', numberArgument)
    .option('--seed <n>', 'same seed, same text', numberArgument)
    .option('--json', 'one JSON object with text, usage and request_id')
    .action((words: readonly string[], options: ChatOptions) =>
      interruptible((signal) => chat(words, options, signal)),
    );
}

async function chat(words: readonly string[], options: ChatOptions, signal: AbortSignal): Promise<void> {
  const terminal = processTerminal();
  const fromStdin =
    words.length === 0 ? terminal.stdin.isTTY !== true : words.length === 1 && words[0] === '-';
  const prompt = fromStdin ? await readAll(terminal) : words.join(' ');
  if (prompt.trim() === '') {
    throw new CommandFailure(exitCodes.usage, 'There is no text to continue.', {
      code: 'no_prompt',
      hints: [`For example:  ${terminal.command} chat "The future of AI is"`],
    });
  }
  const connection = await connect(options);
  const model = options.model ?? (await firstModel(connection, signal));
  const asChat = options.chat === true || options.system !== undefined;
  const request = completionRequest({ ...options, model, prompt, asChat });
  const screen = createScreen(terminal, options.json === true);
  if (!asChat && !fromStdin) screen.pending(prompt);
  try {
    const result = await streamCompletion(connection, request, { signal, onText: screen.write });
    screen.endLine();
    if (options.json === true) terminal.json(jsonResult(result));
    else terminal.say(terminal.dim(figures(result)));
  } catch (error) {
    screen.endLine();
    throw await withModels(error, connection);
  }
}

/** Writes the answer as it comes; the echoed prompt waits for the first text, so that a refusal prints nothing. */
function createScreen(
  terminal: Terminal,
  silent: boolean,
): { pending: (text: string) => void; write: (text: string) => void; endLine: () => void } {
  let waiting = '';
  let last = '\n';
  const show = (text: string): void => {
    if (text === '' || silent) return;
    terminal.write(terminal.stdout.isTTY === true ? printable(text) : text);
    last = text.slice(-1);
  };
  return {
    pending: (text) => {
      waiting = text;
    },
    write: (text) => {
      show(waiting + text);
      waiting = '';
    },
    endLine: () => {
      if (last !== '\n') show('\n');
    },
  };
}

async function firstModel(connection: Connection, signal: AbortSignal): Promise<string> {
  const { models } = await listModels(connection, { signal });
  if (models[0] !== undefined) return models[0];
  throw new CommandFailure(exitCodes.refused, 'No model is open to you at this gateway.', {
    code: 'no_models',
    hints: ['Your roles permit none; sallyport whoami shows them. An administrator grants LLM.User.'],
  });
}

/** Adds to a refused model the ones that are permitted. */
async function withModels(error: unknown, connection: Connection): Promise<unknown> {
  if (!(error instanceof CommandFailure) || error.code !== 'model_not_found') return error;
  const models = await listModels(connection, { neverAsks: true }).then(
    (answer) => answer.models,
    () => [],
  );
  const hint = models.length === 0 ? 'No model is open to you.' : `You may use: ${models.join(', ')}.`;
  return new CommandFailure(error.exitCode, error.message, {
    code: error.code,
    hints: [hint, ...error.hints],
  });
}

function figures(result: CompletionResult): string {
  const { usage } = result;
  const speed =
    usage === null || result.writingMs <= 0
      ? null
      : Math.round((usage.completionTokens * 1000) / result.writingMs);
  return [
    result.model,
    usage === null ? null : `${usage.promptTokens} + ${usage.completionTokens} tokens`,
    result.firstTextMs === null ? null : `first ${Math.round(result.firstTextMs)} ms`,
    speed === null ? null : `${speed} tokens/s`,
    result.requestId,
  ]
    .filter((part) => part !== null)
    .join(' · ');
}

function jsonResult(result: CompletionResult): Record<string, unknown> {
  const { usage } = result;
  return {
    model: result.model,
    text: result.text,
    finish_reason: result.finishReason,
    usage: usage && {
      prompt_tokens: usage.promptTokens,
      completion_tokens: usage.completionTokens,
      total_tokens: usage.promptTokens + usage.completionTokens,
    },
    request_id: result.requestId,
  };
}

async function readAll(terminal: Terminal): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of terminal.stdin) chunks.push(Buffer.from(chunk as Uint8Array)); // No encoding is set on stdin.
  return Buffer.concat(chunks).toString('utf8').replace(/\n$/, '');
}

function numberArgument(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('It is a number.');
  return value;
}
