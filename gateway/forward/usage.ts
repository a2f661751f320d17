// Reads `usage` of an answer or of a stream's last chunk into the outcome that accounting settles.
import type { Outcome } from '../exchange.ts';

/** Notes prompt and completion tokens when the upstream states whole, plausible numbers; otherwise notes nothing. */
export function noteUsage(outcome: Outcome, json: Readonly<Record<string, unknown>>): void {
  const usage = json['usage'];
  if (typeof usage !== 'object' || usage === null) return;
  // Members are checked one by one below.
  const { prompt_tokens: promptTokens, completion_tokens: completionTokens } = usage as Record<
    string,
    unknown
  >;
  if (isCount(promptTokens)) outcome.promptTokens = promptTokens;
  if (isCount(completionTokens)) outcome.completionTokens = completionTokens;
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
