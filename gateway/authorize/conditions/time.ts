// Condition `time`: at which hours of which days, on the clock of a place.
import { z } from 'zod';
import type { Condition, Test } from './condition.ts';

const weekdays = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;
type Weekday = (typeof weekdays)[number];

const clock = (text: string): number => Number(text.slice(0, 2)) * 60 + Number(text.slice(3));
const timeOfDay = z
  .string()
  .regex(/^(([01]\d|2[0-3]):[0-5]\d|24:00)$/, { error: 'a time is HH:MM, from 00:00 to 24:00', abort: true })
  .transform(clock);

const schema = z
  .strictObject({
    days: z
      .array(z.enum(weekdays))
      .min(1)
      .optional()
      .describe('Days on which the span begins; default: every day.'),
    from: timeOfDay.optional().describe('First minute, `HH:MM`; default: the beginning of the day.'),
    to: timeOfDay
      .optional()
      .describe(
        'First minute after the span; earlier than `from` means on the next day. Default: the end of the day.',
      ),
    timezone: z
      .string()
      .refine(isTimezone, 'a timezone is an IANA name such as Europe/Berlin, or UTC')
      .describe('Whose clock, e.g. `Europe/Berlin`; summer time is observed.'),
  })
  .refine(({ days, from, to }) => days !== undefined || from !== undefined || to !== undefined, {
    error: 'a time names days, from or to',
  })
  .refine(({ from = 0, to = 1_440 }) => from !== to && from < 1_440 && to > 0, {
    error: 'the span is empty: from and to are the same moment',
  })
  .describe('Days and hours.');

/** Within the span; one that runs past midnight belongs to the day on which it begins. */
export const time = {
  name: 'time',
  codes: ['time_matched', 'time_not_matched'],
  settled: false,
  schema,
  compile({ days, from = 0, to = 1_440, timezone }): Test {
    const listed = new Set<Weekday>(days ?? weekdays);
    const clockOf = localClock(timezone);
    return ({ request }) => {
      const { day, minute } = clockOf(request.context.now);
      if (from < to) return listed.has(day) && minute >= from && minute < to;
      return (listed.has(day) && minute >= from) || (listed.has(dayBefore(day)) && minute < to);
    };
  },
} as const satisfies Condition<typeof schema>;

const dayBefore = (day: Weekday): Weekday => weekdays[(weekdays.indexOf(day) + 6) % 7] ?? day;

function isTimezone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    // Offsets such as +01:00 are accepted by the runtime, but know no summer time.
    return /^[A-Za-z]/.test(name);
  } catch {
    return false;
  }
}

interface LocalClock {
  readonly day: Weekday;
  /** Since midnight. */
  readonly minute: number;
}

/** Day and minute in a time zone; the last minute is kept, because asking costs microseconds. */
function localClock(timezone: string): (now: number) => LocalClock {
  const format = new Intl.DateTimeFormat('en-GB', {
    timeZone: timezone,
    weekday: 'short',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  });
  let last = Number.NaN;
  let answer: LocalClock = { day: 'mon', minute: 0 };
  return (now) => {
    const epochMinute = Math.floor(now / 60_000);
    if (epochMinute === last) return answer;
    const parts = new Map(format.formatToParts(now).map(({ type, value }) => [type, value]));
    const day = weekdays.find((each) => each === parts.get('weekday')?.toLowerCase());
    if (day === undefined) throw new Error('the day of the week cannot be told');
    answer = { day, minute: Number(parts.get('hour')) * 60 + Number(parts.get('minute')) };
    last = epochMinute;
    return answer;
  };
}
