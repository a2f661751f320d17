// The answer of `policy access` as a table for people and as CSV.
import { printable } from '../wording.ts';
import type { Permission } from './access.ts';
import type { KnownPrincipal } from './access-principal.ts';

/** One line of the answer: what a role, a permit rule or one principal may do. */
export interface AccessRow extends Permission {
  readonly role: string | null;
  /** Assignments that give the role, in words. */
  readonly heldBy: readonly string[];
  /** Of a permit rule; null for roles and for a principal. */
  readonly conditions: string | null;
}

/** RFC 4180: a row for each permission. */
export function csv(rows: readonly AccessRow[], known: KnownPrincipal | null): string {
  const heading = ['role', 'model', 'action', 'decided_by', 'obliged_by', 'resource'];
  const lines = rows.map((row) => [
    row.role ?? '',
    row.model ?? '',
    row.action,
    row.decidedBy,
    obligedBy(row).join(' '),
    row.resource ?? '',
    row.heldBy.join(' | '),
    row.conditions ?? '',
    known?.principal.key ?? '',
    known?.record?.id ?? '',
  ]);
  return [[...heading, 'held_by', 'conditions', 'principal', 'request_id'], ...lines]
    .map((row) => `${row.map(csvField).join(',')}\r\n`)
    .join('');
}

/** RFC 4180, and no field that a spreadsheet would take for a formula. */
function csvField(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

const obligedBy = ({ obligations }: AccessRow): readonly string[] => obligations?.rules ?? [];

/** Roles first, then below them who is assigned to them and what rules permit. */
export function roleTable(rows: readonly AccessRow[]): string {
  const byRole = rows.filter(({ role }) => role !== null);
  const byRule = rows.filter(({ role }) => role === null);
  const holders = new Map(byRole.map(({ role, heldBy }) => [role ?? '', heldBy]));
  const held = [...holders].flatMap(([role, assignments]) =>
    assignments.map((assignment) => `${role}: ${printable(assignment)}\n`),
  );
  const conditions = new Map(byRule.map((row) => [row.decidedBy, row.conditions ?? '']));
  const written = [...conditions].map(([rule, text]) => `${rule}: ${printable(text) || 'everybody'}\n`);
  const parts = [
    ...(byRole.length === 0 ? [] : [table('ROLE', byRole, ({ role }) => role ?? '')]),
    ...(held.length === 0 ? [] : [`HELD BY ASSIGNMENT\n${held.join('')}`]),
    ...(byRule.length === 0
      ? []
      : [table('RULE', byRule, ({ decidedBy }) => decidedBy), `WHERE\n${written.join('')}`]),
  ];
  return parts.length === 0 ? 'Nobody.\n' : parts.join('\n');
}

/** What one principal may do, and which role or rule says so. */
export function principalTable(rows: readonly AccessRow[]): string {
  return rows.length === 0 ? 'Nothing.\n' : table('BY', rows, ({ decidedBy }) => decidedBy);
}

/** One line for each first column and model or resource, with the actions in it; an action that rules bind names them. */
function table(first: string, entries: readonly AccessRow[], by: (row: AccessRow) => string): string {
  const rows = new Map<string, { by: string; on: string; actions: string[] }>();
  for (const entry of entries) {
    const { model, resource, action } = entry;
    const key = JSON.stringify([by(entry), model, resource]);
    const row = rows.get(key) ?? { by: by(entry), on: model ?? resource ?? '-', actions: [] };
    const rules = obligedBy(entry);
    row.actions.push(rules.length === 0 ? action : `${action} (bound by ${rules.join(', ')})`);
    rows.set(key, row);
  }
  const heading = entries.some(({ resource }) => resource !== null) ? 'MODEL OR RESOURCE' : 'MODEL';
  const all = [{ by: first, on: heading, actions: ['ACTIONS'] }, ...rows.values()];
  const byWidth = Math.max(...all.map((row) => row.by.length));
  const onWidth = Math.max(...all.map((row) => row.on.length));
  return all
    .map((row) => `${row.by.padEnd(byWidth)}  ${row.on.padEnd(onWidth)}  ${row.actions.join(', ')}\n`)
    .join('');
}
