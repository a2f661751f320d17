// The tables of all limits of one process, and what several workers ask of them together: the counters of the process
// store and of the cluster primary.
import { isSameWindow } from './lease.ts';
import type { Ask, Grant } from './leases.ts';
import type { LimitRule } from './store.ts';
import { remainingOf } from './window-counter.ts';
import { createWindowTable, type WindowTable } from './window-table.ts';

/** How often an idle process forgets windows that have ended. */
const forgetEveryMs = 30_000;

/** What is granted in advance is at most this part of what remains, so that the last units are shared one by one. */
const largestPart = 10;

/** Tables by limit. */
export interface WindowTables {
  /** The table of a rule; rules with one name and window share it over reloads. */
  of(rule: LimitRule): WindowTable;
  close(): void;
}

/** Creates no table yet; one timer serves all. */
export function createWindowTables(now?: () => number): WindowTables {
  const byName = new Map<string, WindowTable>();
  /** Rules are made once per bundle, so their identity saves building a name per count. */
  const byRule = new WeakMap<LimitRule, WindowTable>();
  const forgetting = setInterval(() => {
    for (const table of byName.values()) table.forgetEnded();
  }, forgetEveryMs).unref();
  const find = (rule: LimitRule): WindowTable => {
    const name = `${rule.name}:${rule.windowMs}`;
    const table =
      byName.get(name) ??
      createWindowTable({ windowMs: rule.windowMs, ...(now === undefined ? {} : { now }) });
    byName.set(name, table);
    byRule.set(rule, table);
    return table;
  };
  return { of: (rule) => byRule.get(rule) ?? find(rule), close: () => clearInterval(forgetting) };
}

/** `SharedCounters.take` on tables, at once and therefore atomic: judges all asks first, then counts. */
export function takeFrom(tables: WindowTables, asks: readonly Ask[]): readonly Grant[] {
  const [first] = asks;
  if (first?.claim.units === 0) return [renewedFrom(tables, first)];
  for (const { claim, back } of asks)
    if (back.units > 0) tables.of(claim.rule).adjust(claim.key, -back.units, back.endMs);
  const extras: number[] = [];
  for (const { claim, extra } of asks) {
    const room = claim.rule.quota - (tables.of(claim.rule).peek(claim.key)?.spent ?? 0) - claim.units;
    if (room < 0) break;
    extras.push(Math.max(Math.min(extra, Math.floor(room / largestPart)), 0));
  }
  const isRefused = extras.length < asks.length;
  return asks.slice(0, extras.length + 1).map(({ claim: { rule, key, units, isHeld } }, index) => {
    const extra = extras[index];
    const granted = extra === undefined ? 0 : units + (isRefused ? 0 : extra);
    const table = tables.of(rule);
    const { spent, counted, endMs, resetMs } = table.add(key, granted === 0 ? units : granted, rule.quota);
    if (isRefused && isHeld && counted) table.adjust(key, -granted, endMs);
    return { permitted: counted, granted, remaining: remainingOf(rule, spent), resetMs, endMs };
  });
}

/** A window begins with a request: a renewal that comes after the end of its window is granted nothing and begins none. */
function renewedFrom(tables: WindowTables, { claim: { rule, key }, extra, back }: Ask): Grant {
  const table = tables.of(rule);
  const open = table.peek(key);
  if (open === null || !isSameWindow(open.endMs, back.endMs))
    return { permitted: true, granted: 0, remaining: rule.quota, resetMs: 0, endMs: back.endMs };
  const granted = Math.max(Math.min(extra, Math.floor((rule.quota - open.spent) / largestPart)), 0);
  const { spent, endMs, resetMs } = table.add(key, granted, rule.quota);
  return { permitted: true, granted, remaining: remainingOf(rule, spent), resetMs, endMs };
}
