// `sallyport policy access`: who can use what, as table, CSV or JSON.
import { nearest } from '../../core/yaml-file.ts';
import { exitCodes } from '../exit-codes.ts';
import { CommandFailure } from '../failure.ts';
import type { Terminal } from '../terminal.ts';
import { accessOf, permissionsOf, questionsOf } from './access.ts';
import { findPrincipal, standsOn, type KnownPrincipal } from './access-principal.ts';
import { accessByRules, holdersOf } from './access-rules.ts';
import { csv, principalTable, roleTable, type AccessRow } from './access-formats.ts';
import { createEvaluator, type Evaluator } from '../../gateway/policies/evaluation/evaluate.ts';
import { openPolicies, type OpenedPolicies, type PolicyOptions } from './opened-policies.ts';
import { deciderPlace } from './reason-words.ts';

export const accessFormats = ['table', 'csv', 'json'] as const;

export interface AccessOptions extends PolicyOptions {
  readonly format: (typeof accessFormats)[number];
  readonly model?: string;
  readonly role?: string;
  /** A key, or a subject. */
  readonly principal?: string;
}

/** Prints what roles and permit rules, or one principal, may do on models and on resources of other services. */
export async function accessCommand(
  directory: string | undefined,
  options: AccessOptions,
  terminal: Terminal,
): Promise<void> {
  const opened = openPolicies(directory, options);
  const { principal: named, role, model } = options;
  if (named !== undefined && role !== undefined)
    throw new CommandFailure(exitCodes.usage, 'Give --principal or --role, not both.', { code: 'usage' });
  demand(role, Object.keys(opened.bundle.roles.roles), 'role');
  demand(model, [...opened.context.models.keys()], 'model');
  const evaluator = createEvaluator(opened);
  const known = named === undefined ? null : await findPrincipal(named, opened, evaluator);
  const rows = (
    known === null ? rowsOfBundle(opened, evaluator, role) : rowsOf(known, opened, evaluator)
  ).filter((row) => model === undefined || row.model === model);
  const isTable = options.json !== true && options.format === 'table';
  // What is read by a program stays what it is.
  if (known !== null && !isTable) terminal.say(standsOn(known));
  if (isTable)
    terminal.write(known === null ? roleTable(rows) : `${standsOn(known)}\n\n${principalTable(rows)}`);
  else if (options.format === 'csv' && options.json !== true) terminal.write(csv(rows, known));
  else
    terminal.json(
      rows.map(({ decidedBy, heldBy, ...row }) => ({
        ...row,
        decided_by: decidedBy,
        held_by: heldBy,
        place: deciderPlace(decidedBy, opened),
        principal: known?.principal.key ?? null,
        request_id: known?.record?.id ?? null,
      })),
    );
}

/** Conditions of rules are asked for now and from this machine. */
function rowsOfBundle(
  opened: OpenedPolicies,
  { snapshot }: Evaluator,
  role: string | undefined,
): AccessRow[] {
  const moment = { now: Date.now(), from: '127.0.0.1' };
  const roles = accessOf(opened.bundle, snapshot, moment)
    .filter((entry) => role === undefined || entry.role === role)
    .map((entry) => ({ ...entry, heldBy: holdersOf(entry.role, opened), conditions: null }));
  if (role !== undefined) return roles;
  const rules = accessByRules(opened, snapshot, moment).map((entry) => ({
    ...entry,
    role: null,
    heldBy: [],
  }));
  return [...roles, ...rules];
}

/** For now, and from where the recorded request came. */
function rowsOf(
  { principal, record }: KnownPrincipal,
  { bundle }: OpenedPolicies,
  { snapshot }: Evaluator,
): AccessRow[] {
  const moment = { now: Date.now(), from: record?.from ?? '127.0.0.1' };
  return permissionsOf(principal, questionsOf(bundle, snapshot), { snapshot, moment }).map((entry) => ({
    ...entry,
    role: null,
    heldBy: [],
    conditions: null,
  }));
}

function demand(given: string | undefined, known: readonly string[], what: string): void {
  if (given === undefined || known.includes(given)) return;
  const suggestion = nearest(given, known);
  throw new CommandFailure(exitCodes.usage, `There is no ${what} ${given}.`, {
    hints: [suggestion === undefined ? `Known: ${known.join(', ')}` : `Did you mean ${suggestion}?`],
    code: 'unknown_name',
  });
}
