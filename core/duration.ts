// One spelling of time spans in YAML: a whole number and a unit, `500ms`, `30s`, `1m`, `24h`, `7d`.
import { z } from 'zod';

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const pattern = /^(\d{1,9})(ms|s|m|h|d)$/;
const expectation = 'a duration is a whole number and a unit (ms, s, m, h, d), such as 30s, 1m or 24h';

/**
 * Parses a duration to milliseconds.
 * Checks: a whole number, one known unit, at most ten years. Does not check: that it is above zero (its owner does).
 * @throws Error with what is wrong.
 */
export function parseDuration(text: string): number {
  const match = pattern.exec(text);
  const unit = unitMs[match?.[2] ?? ''];
  if (match === null || unit === undefined) throw new Error(expectation);
  const durationMs = Number(match[1]) * unit;
  if (durationMs > 3_650 * 86_400_000) throw new Error('a duration is at most 3650d');
  return durationMs;
}

/** Schema of a duration in YAML; the output is milliseconds. */
export const duration = z
  .string({ error: expectation })
  .regex(pattern, expectation)
  .transform((text, context): number => {
    try {
      return parseDuration(text);
    } catch (error) {
      context.addIssue({ code: 'custom', message: error instanceof Error ? error.message : expectation });
      return z.NEVER;
    }
  });

/** The shortest exact spelling of a duration, e.g. `1m` for 60000. */
export function formatDuration(durationMs: number): string {
  for (const unit of ['d', 'h', 'm', 's'] as const) {
    const size = unitMs[unit] ?? 1;
    if (durationMs >= size && durationMs % size === 0) return `${durationMs / size}${unit}`;
  }
  return `${durationMs}ms`;
}
