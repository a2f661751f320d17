// `sallyport policy access`: who can use what, as table, CSV or JSON.
import { nearest } from '../../core/yaml-file.ts';
import { exitCodes } from '../exit-codes.ts';
import { CommandFailure } from '../failure.ts';
import type { Terminal } from '../terminal.ts';
import { accessOf, type AccessEntry } from './access.ts';
import { createEvaluator } from '../../gateway/policies/evaluation/evaluate.ts';
import { openPolicies, type PolicyOptions } from './opened-policies.ts';
import { deciderPlace } from './reason-words.ts';

export const accessFormats = ['table', 'csv', 'json'] as const;

export interface AccessOptions extends PolicyOptions {
  readonly format: (typeof accessFormats)[number];
  readonly model?: string;
  readonly role?: string;
}

/** Prints the permissions of roles on models and on resources of other services; conditions of rules are asked for now and from this machine. */
export function accessCommand(
  directory: string | undefined,
  options: AccessOptions,
  terminal: Terminal,
): void {
  const opened = openPolicies(directory, options);
  demand(options.role, Object.keys(opened.bundle.roles.roles), 'role');
  demand(options.model, [...opened.context.models.keys()], 'model');
  const { snapshot } = createEvaluator(opened);
  const moment = { now: Date.now(), from: '127.0.0.1' };
  const entries = accessOf(opened.bundle, snapshot, moment).filter(
    (entry) =>
      (options.role === undefined || entry.role === options.role) &&
      (options.model === undefined || entry.model === options.model),
  );
  if (options.json === true || options.format === 'json') {
    terminal.json(
      entries.map(({ decidedBy, ...entry }) => ({
        ...entry,
        decided_by: decidedBy,
        place: deciderPlace(decidedBy, opened),
      })),
    );
    return;
  }
  if (options.format === 'csv') {
    const rows = entries.map((entry) => [
      entry.role,
      entry.model ?? '',
      entry.action,
      entry.decidedBy,
      obligedBy(entry).join(' '),
      entry.resource ?? '',
    ]);
    terminal.write(
      [['role', 'model', 'action', 'decided_by', 'obliged_by', 'resource'], ...rows]
        .map((row) => `${row.map(csvField).join(',')}\r\n`)
        .join(''),
    );
    return;
  }
  terminal.write(table(entries));
}

function demand(given: string | undefined, known: readonly string[], what: string): void {
  if (given === undefined || known.includes(given)) return;
  const suggestion = nearest(given, known);
  throw new CommandFailure(exitCodes.usage, `There is no ${what} ${given}.`, {
    hints: [suggestion === undefined ? `Known: ${known.join(', ')}` : `Did you mean ${suggestion}?`],
    code: 'unknown_name',
  });
}

/** RFC 4180, and no field that a spreadsheet would take for a formula. */
function csvField(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

const obligedBy = ({ obligations }: AccessEntry): readonly string[] => obligations?.rules ?? [];

/** One line for each role and model or resource, with the actions in it; an action that rules bind names them. */
function table(entries: readonly AccessEntry[]): string {
  if (entries.length === 0) return 'Nobody.\n';
  const rows = new Map<string, { role: string; on: string; actions: string[] }>();
  for (const entry of entries) {
    const { role, model, resource, action } = entry;
    const key = JSON.stringify([role, model, resource]);
    const row = rows.get(key) ?? { role, on: model ?? resource ?? '-', actions: [] };
    const rules = obligedBy(entry);
    row.actions.push(rules.length === 0 ? action : `${action} (bound by ${rules.join(', ')})`);
    rows.set(key, row);
  }
  const heading = entries.some(({ resource }) => resource !== null) ? 'MODEL OR RESOURCE' : 'MODEL';
  const all = [{ role: 'ROLE', on: heading, actions: ['ACTIONS'] }, ...rows.values()];
  const roleWidth = Math.max(...all.map((row) => row.role.length));
  const onWidth = Math.max(...all.map((row) => row.on.length));
  return all
    .map((row) => `${row.role.padEnd(roleWidth)}  ${row.on.padEnd(onWidth)}  ${row.actions.join(', ')}\n`)
    .join('');
}
