// A replay as people read it: who loses first, the largest groups first, and what came of it in the last line.
import { counted, printable } from '../wording.ts';
import type { OpenedPolicies } from './opened-policies.ts';
import type { Paint } from './paint.ts';
import { deciderPlace } from './reason-words.ts';
import { differs, type ReplayChange, type ReplayReport } from './replay.ts';

export const replayFormats = ['human', 'json', 'csv'] as const;

/** Groups that are shown of each kind. */
const mostShown = 10;

/** How a report is shown. */
export interface ReplayManner {
  readonly paint: Paint;
  /** The candidate, for the places of its roles and rules. */
  readonly opened: OpenedPolicies;
}

/** The report for people. */
export function formatReplay(report: ReplayReport, manner: ReplayManner): string {
  const { paint } = manner;
  const { decisions, principals, first_at: first, last_at: last } = report;
  const bundles = Object.keys(report.recorded_under).length;
  const against =
    report.compared_with === 'recorded'
      ? `what was decided then${bundles > 1 ? ` under ${bundles} bundles` : ''}`
      : `the bundle in use, ${report.compared_with.slice(0, 8)}`;
  const lines = [
    paint.bold(
      `${counted(decisions, 'decision')} of ${counted(principals, 'principal')}, ${shortTime(first)} to ${shortTime(last)}`,
    ),
    `candidate ${report.candidate.slice(0, 8)} (${manner.opened.directory}) beside ${against}`,
    '',
    ...section('Loses', report.loses, paint.red('✗'), manner),
    ...section('Gains', report.gains, paint.yellow('+'), manner),
    ...section('Is refused otherwise', report.other_refusal, paint.dim('·'), manner),
  ];
  for (const note of report.notes) lines.push(`${paint.yellow('!')} ${printable(note)}`);
  if (report.notes.length > 0) lines.push('');
  lines.push(lastLine(report, paint), '');
  return lines.join('\n');
}

function section(
  title: string,
  changes: readonly ReplayChange[],
  mark: string,
  manner: ReplayManner,
): string[] {
  if (changes.length === 0) return [];
  const total = sum(changes);
  const people = new Set(changes.map(({ principal }) => principal)).size;
  const lines = [
    manner.paint.bold(`${title}: ${counted(total, 'decision')} of ${counted(people, 'principal')}`),
  ];
  const width = String(changes[0]?.count ?? 0).length;
  for (const change of changes.slice(0, mostShown)) {
    const { count, principal, issuer, action, model, before, after } = change;
    const what = printable(
      `${shortPrincipal(principal)} (${issuer})  ${action}${model === null ? '' : ` on ${model}`}`,
    );
    lines.push(
      `  ${mark} ${String(count).padStart(width)} × ${what}`,
      `    ${' '.repeat(width)}   ${before.code} (${before.by ?? 'default'}) → ${after.code} (${deciderOf(change, manner)})`,
      manner.paint.dim(`    ${' '.repeat(width)}   e.g. ${printable(change.request_id)}`),
    );
  }
  if (changes.length > mostShown)
    lines.push(
      manner.paint.dim(`  … and ${counted(changes.length - mostShown, 'group')} more: --format csv`),
    );
  lines.push('');
  return lines;
}

function deciderOf({ after }: ReplayChange, { opened }: ReplayManner): string {
  if (after.by === null) return printable(after.reason ?? 'default');
  const place = deciderPlace(after.by, opened);
  return place === null ? after.by : `${after.by}, ${place}`;
}

function lastLine(report: ReplayReport, paint: Paint): string {
  const others =
    report.other_decider === 0
      ? ''
      : `  ${report.other_decider} by another role or rule, with the same answer.`;
  if (report.decisions === 0)
    return `${paint.yellow('!')} No decision was recorded since ${shortTime(report.since)}.`;
  if (!differs(report)) return `${paint.green('✓')} The candidate decides all of them alike.${others}`;
  const parts = [
    `${sum(report.loses)} lost`,
    `${sum(report.gains)} gained`,
    ...(report.other_refusal.length === 0 ? [] : [`${sum(report.other_refusal)} refused otherwise`]),
    `${report.unchanged} alike`,
  ];
  return `${paint.red('✗')} ${parts.join(', ')}.${others}`;
}

/** One row for each group, for a spreadsheet. */
export function replayCsv(report: ReplayReport): string {
  const rows = (['loses', 'gains', 'other_refusal'] as const).flatMap((kind) =>
    report[kind].map((change) => [
      kind,
      String(change.count),
      change.principal,
      change.issuer,
      change.client_id ?? '',
      change.action,
      change.model ?? '',
      change.before.code,
      change.before.by ?? '',
      change.after.code,
      change.after.by ?? '',
      change.first_at,
      change.last_at,
      change.request_id,
    ]),
  );
  const head =
    'change,count,principal,issuer,client_id,action,model,code_before,by_before,code_after,by_after,first_at,last_at,request_id';
  return [head, ...rows.map((row) => row.map(csvField).join(','))].map((row) => `${row}\r\n`).join('');
}

/** RFC 4180, and no field that a spreadsheet would take for a formula. */
function csvField(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

const sum = (changes: readonly ReplayChange[]): number =>
  changes.reduce((total, { count }) => total + count, 0);
const shortTime = (time: string | null): string => time?.slice(0, 16).replace('T', ' ') ?? 'never';
/** The subject of `issuer subject`; the issuer's name stands beside it. */
const shortPrincipal = (key: string): string => key.slice(key.lastIndexOf(' ') + 1);
