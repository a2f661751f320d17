// Counters of calendar periods where there is no Redis: a SQLite file, shared by the workers of one gateway. What is
// spent stays spent over a restart or a kill of the process.
import { chmodSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { spanOf, type Period } from './period.ts';
import { reserveInTurn, reserveRuns, type Run } from './reserve-in-turn.ts';
import type { Claim, CountedIn, LimitRule, LimitState, LimitStore } from './store.ts';
import { opaqueKey, remainingOf, storeUnavailable } from './window-counter.ts';

/** Counters of periods. */
export interface BudgetStore {
  /** Counts `units` when the quota has room for them, else nothing. */
  consume(rule: PeriodRule, key: string, units: number): LimitState;
  /** Corrects the count of the period that ends at `endMs`; once it is over, nothing is given back. */
  adjust(rule: PeriodRule, key: string, change: { readonly units: number; readonly endMs: number }): void;
  problem(): string | null;
  close(): void;
}

type PeriodRule = LimitRule & { readonly period: Period };

/** Periods that ended are forgotten in steps of so many slots. */
const sweepEvery = 1_000;

/** Opens the file with the first count: a gateway without periods never makes one. */
export function createBudgetStore(file: string, now: () => number = Date.now): BudgetStore {
  let opened: ReturnType<typeof openFile> | undefined;
  let problem: string | null = null;
  let untilSweep = 0;
  const asked = <T>(ask: (statements: ReturnType<typeof openFile>) => T): T => {
    try {
      opened ??= openFile(file);
      const answer = ask(opened);
      problem = null;
      return answer;
    } catch (error) {
      problem = 'the file of the quotas cannot be used';
      throw storeUnavailable(error);
    }
  };
  const stateOf = (rule: PeriodRule, spent: number, endMs: number): Omit<LimitState, 'permitted'> => ({
    remaining: remainingOf(rule, spent),
    resetMs: endMs - now(),
    endMs,
  });
  const sweep = ({ sweep: statement }: ReturnType<typeof openFile>): void => {
    if (untilSweep-- > 0) return;
    statement.run(now());
    untilSweep = sweepEvery;
  };
  return {
    consume(rule, key, units) {
      const { startMs, endMs } = spanOf(rule.period, now());
      const slot = slotName(rule, key, startMs);
      return asked((statements) => {
        sweep(statements);
        const counted = statements.take.get(slot, endMs, units, rule.quota)?.['spent'];
        const spent = counted ?? statements.get.get(slot)?.['spent'] ?? 0;
        return { permitted: counted !== undefined, ...stateOf(rule, Number(spent), endMs) };
      });
    },
    adjust(rule, key, { units, endMs: countedUntilMs }) {
      const { startMs, endMs } = spanOf(rule.period, now());
      if (units < 0 && countedUntilMs !== endMs) return;
      asked((statements) => {
        sweep(statements);
        statements.change.run(slotName(rule, key, startMs), endMs, units);
      });
    },
    problem: () => problem,
    close() {
      opened?.database.close();
      opened = undefined;
    },
  };
}

/** Sends rules with a period to `budgets` and all others to `windows`. */
export function withBudgets(windows: LimitStore, budgets: BudgetStore): LimitStore {
  const periods = {
    reserve: (claims: readonly Claim[]) =>
      reserveInTurn(claims, {
        count: ({ rule, key, units }) => budgets.consume(periodOf(rule), key, units),
        adjust: (counted, units) => periods.adjust(counted, units),
      }),
    adjust: ({ rule, key, endMs }: CountedIn, units: number) =>
      budgets.adjust(periodOf(rule), key, { units, endMs }),
  };
  const storeOf = (rule: LimitRule): Run[0] => (hasPeriod(rule) ? periods : windows);
  return {
    kind: windows.kind,
    reserve: (claims) =>
      claims.some(({ rule }) => hasPeriod(rule))
        ? reserveRuns(runsOf(claims, storeOf))
        : windows.reserve(claims),
    adjust: (counted, units) => storeOf(counted.rule).adjust(counted, units),
    // Neither events nor failures have a period.
    consume: (rule, key) => windows.consume(rule, key),
    countFailure: (rule, key) => windows.countFailure(rule, key),
    peek: (rule, key) => windows.peek(rule, key),
    problem: () => windows.problem() ?? budgets.problem(),
    async close() {
      budgets.close();
      await windows.close();
    },
  };
}

const hasPeriod = (rule: LimitRule): rule is PeriodRule => rule.period !== undefined;

function periodOf(rule: LimitRule): PeriodRule {
  if (!hasPeriod(rule)) throw new TypeError('a limit without a period has no place among the periods');
  return rule;
}

/** Neighbouring claims of one store together. */
function runsOf(claims: readonly Claim[], storeOf: (rule: LimitRule) => Run[0]): readonly Run[] {
  const runs: [Run[0], Claim[]][] = [];
  for (const claim of claims) {
    const store = storeOf(claim.rule);
    const last = runs.at(-1);
    if (last?.[0] === store) last[1].push(claim);
    else runs.push([store, [claim]]);
  }
  return runs;
}

/** No subject or address lies in the file. */
function slotName(rule: PeriodRule, key: string, startMs: number): string {
  return `${rule.name}:${rule.period}:${opaqueKey(key)}@${startMs / 1_000}`;
}

function openFile(file: string) {
  const database = new DatabaseSync(file, { timeout: 500 });
  chmodSync(file, 0o600);
  database.exec(`
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    CREATE TABLE IF NOT EXISTS budget (slot TEXT PRIMARY KEY, ends_ms INTEGER NOT NULL, spent INTEGER NOT NULL) STRICT;
    CREATE INDEX IF NOT EXISTS budget_ends ON budget (ends_ms);
  `);
  return {
    database,
    // No row comes back when there is no room: one statement, so that two workers cannot both see the last unit.
    take: database.prepare(
      'INSERT INTO budget (slot, ends_ms, spent) SELECT ?1, ?2, ?3 WHERE ?3 <= ?4 ON CONFLICT (slot) DO UPDATE SET spent = spent + ?3 WHERE spent + ?3 <= ?4 RETURNING spent',
    ),
    change: database.prepare(
      'INSERT INTO budget (slot, ends_ms, spent) VALUES (?1, ?2, max(?3, 0)) ON CONFLICT (slot) DO UPDATE SET spent = max(spent + ?3, 0)',
    ),
    get: database.prepare('SELECT spent FROM budget WHERE slot = ?'),
    sweep: database.prepare('DELETE FROM budget WHERE ends_ms < ?'),
  };
}
