// Calendar periods of quotas, in UTC: an hour, day, week (from Monday), month or year begins for everybody at once.

/** Periods that a quota may count in. */
export const periods = ['hour', 'day', 'week', 'month', 'year'] as const;
/** One of them. */
export type Period = (typeof periods)[number];

/** One period: when it began and ends, epoch ms. */
export interface Span {
  readonly startMs: number;
  readonly endMs: number;
}

const dayMs = 86_400_000;

/** The period that a moment lies in. */
export function spanOf(period: Period, nowMs: number): Span {
  const now = new Date(nowMs);
  const [year, month, day] = [now.getUTCFullYear(), now.getUTCMonth(), now.getUTCDate()];
  switch (period) {
    case 'hour': {
      const startMs = Math.floor(nowMs / 3_600_000) * 3_600_000;
      return { startMs, endMs: startMs + 3_600_000 };
    }
    case 'day':
      return { startMs: Date.UTC(year, month, day), endMs: Date.UTC(year, month, day + 1) };
    case 'week': {
      const startMs = Date.UTC(year, month, day) - ((now.getUTCDay() + 6) % 7) * dayMs;
      return { startMs, endMs: startMs + 7 * dayMs };
    }
    case 'month':
      return { startMs: Date.UTC(year, month), endMs: Date.UTC(year, month + 1) };
    case 'year':
      return { startMs: Date.UTC(year, 0), endMs: Date.UTC(year + 1, 0) };
  }
}
