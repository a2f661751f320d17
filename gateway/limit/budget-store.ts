// Counters of calendar periods where there is no Redis: a SQLite file, shared by the workers of one gateway. What is
// spent stays spent over a restart or a kill of the process.
import { chmodSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { spanOf, type Period } from './period.ts';
import type { LimitRule, LimitState, LimitStore } from './store.ts';
import { opaqueKey, remainingOf, storeUnavailable } from './window-counter.ts';

/** Counters of periods. */
export interface BudgetStore {
  consume(rule: PeriodRule, key: string, units: number): LimitState;
  adjust(rule: PeriodRule, key: string, units: number): void;
  peek(rule: PeriodRule, key: string): LimitState;
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
  const stateOf = (rule: PeriodRule, spent: number, endMs: number): LimitState => ({
    permitted: spent <= rule.quota,
    remaining: remainingOf(rule, spent),
    resetMs: endMs - now(),
  });
  const add = (rule: PeriodRule, key: string, units: number): LimitState => {
    const { startMs, endMs } = spanOf(rule.period, now());
    return asked(({ add: statement, sweep }) => {
      if (untilSweep-- <= 0) {
        sweep.run(now());
        untilSweep = sweepEvery;
      }
      const spent = Number(statement.get(slotName(rule, key, startMs), endMs, units)?.['spent']);
      return stateOf(rule, spent, endMs);
    });
  };
  return {
    consume: add,
    adjust(rule, key, units) {
      add(rule, key, units);
    },
    peek(rule, key) {
      const { startMs, endMs } = spanOf(rule.period, now());
      const spent = asked(({ get }) => Number(get.get(slotName(rule, key, startMs))?.['spent'] ?? 0));
      return { ...stateOf(rule, spent, endMs), permitted: spent < rule.quota };
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
  const hasPeriod = (rule: LimitRule): rule is PeriodRule => rule.period !== undefined;
  return {
    kind: windows.kind,
    consume: (rule, key, units = 1) =>
      hasPeriod(rule) ? attempt(() => budgets.consume(rule, key, units)) : windows.consume(rule, key, units),
    adjust: (rule, key, units) =>
      hasPeriod(rule) ? attempt(() => budgets.adjust(rule, key, units)) : windows.adjust(rule, key, units),
    peek: (rule, key) => (hasPeriod(rule) ? attempt(() => budgets.peek(rule, key)) : windows.peek(rule, key)),
    problem: () => windows.problem() ?? budgets.problem(),
    async close() {
      budgets.close();
      await windows.close();
    },
  };
}

/** The file is asked at once; a fault is a rejection all the same. */
const attempt = <T>(ask: () => T): Promise<T> => new Promise((resolve) => resolve(ask()));

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
    add: database.prepare(
      'INSERT INTO budget (slot, ends_ms, spent) VALUES (?1, ?2, max(?3, 0)) ON CONFLICT (slot) DO UPDATE SET spent = max(spent + ?3, 0) RETURNING spent',
    ),
    get: database.prepare('SELECT spent FROM budget WHERE slot = ?'),
    sweep: database.prepare('DELETE FROM budget WHERE ends_ms < ?'),
  };
}
