// Throttling of guesses: after some free failures each further one doubles the wait, up to a ceiling, so that a
// guesser is slowed to a crawl and a victim is never kept out for ever. One statement counts and decides, so that
// parallel guesses cannot slip past. An attempt is counted before it is judged and cleared by a success.
import { createHash } from 'node:crypto';
import { sql, type RawBuilder } from 'kysely';
import { nowInSeconds, type Database } from './database.ts';

export interface AttemptRule {
  /** Failures that cost nothing. */
  readonly free: number;
  /** First wait, seconds; doubles with each further failure. */
  readonly firstWaitSeconds: number;
  readonly longestWaitSeconds: number;
  /** A counter untouched for this long is forgotten. */
  readonly forgetAfterSeconds: number;
}

/** Guessing a password of one account, whatever the address. */
export const accountRule: AttemptRule = {
  free: 5,
  firstWaitSeconds: 2,
  longestWaitSeconds: 300,
  forgetAfterSeconds: 3600,
};
/** Guessing from one address, whatever the account. */
export const addressRule: AttemptRule = {
  free: 30,
  firstWaitSeconds: 2,
  longestWaitSeconds: 300,
  forgetAfterSeconds: 3600,
};
/** Guessing user codes of the device flow. */
export const userCodeRule: AttemptRule = {
  free: 5,
  firstWaitSeconds: 30,
  longestWaitSeconds: 900,
  forgetAfterSeconds: 3600,
};

/** Names whose attempts are counted: a kind and what it is about. */
export type AttemptSubject = readonly [
  kind: 'password-account' | 'password-browser' | 'password-address' | 'user-code',
  subject: string,
];

/**
 * Counts one attempt before it is judged.
 * @returns 0 when it may be judged, else the seconds to wait; a refused attempt is not counted.
 */
export async function beginAttempt(
  database: Database,
  subject: AttemptSubject,
  rule: AttemptRule,
): Promise<number> {
  const now = nowInSeconds();
  const key = keyOf(subject);
  // PostgreSQL must be told the type of a parameter that stands alone; the rule's numbers are ours, hence literals.
  const at = (seconds: number): RawBuilder<number> => sql<number>`cast(${seconds} as bigint)`;
  const [free, first, longest] = [rule.free, rule.firstWaitSeconds, rule.longestWaitSeconds].map((n) =>
    sql.lit(n),
  );
  const wait = sql<number>`${first} * (1 << (attempts.failures + 1 - ${free}))`;
  const failures = sql<number>`case when attempts.expires_at <= ${at(now)} then 1 else attempts.failures + 1 end`;
  const blockedUntil = sql<number>`case
    when attempts.expires_at <= ${at(now)} or attempts.failures + 1 < ${free} then 0
    when attempts.failures + 1 >= ${free} + 12 then ${at(now)} + ${longest}
    when ${wait} > ${longest} then ${at(now)} + ${longest}
    else ${at(now)} + ${wait} end`;
  const counted = await database
    .insertInto('attempts')
    .values({ key, failures: 1, blocked_until: 0, expires_at: now + rule.forgetAfterSeconds })
    .onConflict((conflict) =>
      conflict
        .column('key')
        .doUpdateSet({ failures, blocked_until: blockedUntil, expires_at: now + rule.forgetAfterSeconds })
        .where('attempts.blocked_until', '<=', now),
    )
    .returning('failures')
    .execute();
  if (counted.length > 0) return 0;
  const row = await database
    .selectFrom('attempts')
    .select('blocked_until')
    .where('key', '=', key)
    .executeTakeFirst();
  return Math.max(1, (row?.blocked_until ?? 0) - now);
}

/** Forgets the failures of a subject after a success. */
export async function clearAttempts(database: Database, subject: AttemptSubject): Promise<void> {
  await database.deleteFrom('attempts').where('key', '=', keyOf(subject)).execute();
}

/** Takes one counted attempt back: it turned out right, but does not excuse the wrong ones before it. */
export async function forgiveAttempt(database: Database, subject: AttemptSubject): Promise<void> {
  await database
    .updateTable('attempts')
    .set((column) => ({ failures: column('failures', '-', 1), blocked_until: 0 }))
    .where('key', '=', keyOf(subject))
    .where('failures', '>', 0)
    .execute();
}

// Hashed: a mistyped user name is often a password.
function keyOf([kind, subject]: AttemptSubject): string {
  return `${kind}:${createHash('sha256').update(subject).digest('base64url')}`;
}
