// The findings of `policy check` in the forms that people and CI systems read: human, json, github, sarif, junit.
import { relative } from 'node:path';
import { packageVersion } from '../../core/package.ts';
import type { JudgedFinding, SourceLines } from './judged-finding.ts';
import { junitDocument, type JunitCase } from './junit.ts';
import type { Paint } from './paint.ts';

/** What a check found. */
export interface CheckReport {
  readonly directory: string;
  /** Of the bundle, hex; null when it has errors. */
  readonly digest: string | null;
  /** Files that were read. */
  readonly files: number;
  readonly findings: readonly JudgedFinding[];
  readonly durationMs: number;
}

export const checkFormats = ['human', 'json', 'github', 'sarif', 'junit'] as const;
export type CheckFormat = (typeof checkFormats)[number];

/** GitHub shows ten annotations of a kind for a step; the tenth says how many there are. */
const shownAnnotations = 9;

/** The report in one format, with a newline at the end. */
export function formatReport(
  report: CheckReport,
  format: CheckFormat,
  { lines, paint }: { readonly lines: SourceLines; readonly paint: Paint },
): string {
  switch (format) {
    case 'human':
      return human(report, lines, paint);
    case 'json':
      return `${JSON.stringify(jsonReport(report))}\n`;
    case 'github':
      return github(report);
    case 'sarif':
      return `${JSON.stringify(sarif(report), null, 2)}\n`;
    case 'junit':
      return junitDocument('policy check', [{ name: report.directory, cases: junitCases(report) }]);
  }
}

/** How many findings there are of each severity. */
export function countOf(report: CheckReport): { errors: number; warnings: number } {
  const errors = report.findings.filter((finding) => finding.severity === 'error').length;
  return { errors, warnings: report.findings.length - errors };
}

/** The sentence of a finding with its suggestion. */
export function sentenceOf({ message, suggestion }: Pick<JudgedFinding, 'message' | 'suggestion'>): string {
  return suggestion === undefined ? message : `${message}; did you mean "${suggestion}"?`;
}

/** A number with its noun, in the plural where it is due. */
export const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;

function human(report: CheckReport, lines: SourceLines, paint: Paint): string {
  const { errors, warnings } = countOf(report);
  const blocks = report.findings.map((finding) => block(finding, lines(finding.file), paint));
  const files = `${plural(report.files, 'file')}, ${Math.round(report.durationMs)} ms.`;
  const summary =
    errors > 0
      ? `${paint.red('✗')} ${plural(errors, 'error')}, ${plural(warnings, 'warning')} in ${files}  A running gateway keeps the bundle it has.`
      : `${paint.green('✓')} ${warnings === 0 ? 'no findings' : plural(warnings, 'warning')} in ${files}  Bundle ${report.digest?.slice(0, 8) ?? '-'}.`;
  return [...blocks, summary, ''].join('\n');
}

/** At most seven lines: the sentence, three lines of source, where to read on, a blank one. */
function block(finding: JudgedFinding, source: readonly string[], paint: Paint): string {
  const { file, line, column, severity } = finding;
  const colour = severity === 'error' ? paint.red : paint.yellow;
  const parts = [finding.code, finding.keyPath, finding.page].filter((part) => part !== '');
  return [
    `${paint.bold(`${file}:${line}:${column}`)} ${colour(`${severity}:`)} ${sentenceOf(finding)}`,
    ...codeFrame(finding, source, colour),
    `      ${paint.dim(parts.join(' · '))}`,
    '',
  ].join('\n');
}

/** The line with its word underlined and the line before it; empty where there is no source to show. */
export function codeFrame(
  { line, column, endColumn }: Pick<JudgedFinding, 'line' | 'column' | 'endColumn'>,
  source: readonly string[],
  colour: (text: string) => string,
): string[] {
  const text = source[line - 1];
  if (text === undefined || text === '') return [];
  const width = Math.max(3, String(line).length);
  // A long line is shown around its word; the columns of the frame count from there.
  const from = column > 80 ? column - 40 : 0;
  const cut = (shown: string): string => shown.slice(from, from + 100).replaceAll('\t', ' ');
  const row = (number: number, shown: string, mark: string): string =>
    `${mark} ${String(number).padStart(width)} │ ${cut(shown)}`.trimEnd();
  const before = source[line - 2];
  const caret = '^'.repeat(Math.min(endColumn - column, 100));
  return [
    ...(before === undefined || line < 2 ? [] : [row(line - 1, before, ' ')]),
    row(line, text, '>'),
    `  ${' '.repeat(width)} │ ${' '.repeat(column - 1 - from)}${colour(caret)}`,
  ];
}

function jsonReport(report: CheckReport): unknown {
  const { errors, warnings } = countOf(report);
  return {
    valid: errors === 0,
    directory: report.directory,
    digest: report.digest,
    files: report.files,
    errors,
    warnings,
    duration_ms: Math.round(report.durationMs),
    findings: report.findings.map((finding) => ({
      severity: finding.severity,
      code: finding.code,
      file: finding.file,
      line: finding.line,
      column: finding.column,
      end_column: finding.endColumn,
      key_path: finding.keyPath,
      message: finding.message,
      suggestion: finding.suggestion ?? null,
      page: finding.page,
    })),
  };
}

function github(report: CheckReport): string {
  const { errors, warnings } = countOf(report);
  const annotation = (finding: JudgedFinding): string =>
    githubAnnotation(finding.severity, {
      file: finding.file,
      line: finding.line,
      col: finding.column,
      endColumn: finding.endColumn,
      title: finding.code,
      message: sentenceOf(finding),
    });
  const shown = (severity: JudgedFinding['severity']): string[] =>
    report.findings
      .filter((finding) => finding.severity === severity)
      .slice(0, shownAnnotations)
      .map(annotation);
  const summary = `policy check: ${plural(errors, 'error')}, ${plural(warnings, 'warning')} in ${plural(report.files, 'file')}`;
  return [...shown('error'), ...shown('warning'), `::notice title=policy check::${summary}`, ''].join('\n');
}

/** One workflow command; properties and message are escaped as the runner expects. */
export function githubAnnotation(
  level: 'error' | 'warning',
  { message, ...properties }: { readonly message: string; readonly [name: string]: string | number },
): string {
  const escaped = (text: string): string =>
    text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
  const listed = Object.entries(properties).map(
    ([name, value]) => `${name}=${escaped(String(value)).replaceAll(':', '%3A').replaceAll(',', '%2C')}`,
  );
  return `::${level} ${listed.join(',')}::${escaped(message)}`;
}

function sarif(report: CheckReport): unknown {
  const codes = [...new Set(report.findings.map((finding) => finding.code))].toSorted();
  return {
    $schema: 'https://json.schemastore.org/sarif-2.1.0.json',
    version: '2.1.0',
    runs: [
      {
        tool: {
          driver: {
            name: 'sallyport policy check',
            version: packageVersion,
            rules: codes.map((code) => ({
              id: code,
              shortDescription: { text: code.replaceAll('_', ' ') },
            })),
          },
        },
        columnKind: 'utf16CodeUnits',
        results: report.findings.map((finding) => ({
          ruleId: finding.code,
          ruleIndex: codes.indexOf(finding.code),
          level: finding.severity,
          message: { text: sentenceOf(finding) },
          locations: [
            {
              physicalLocation: {
                artifactLocation: { uri: uriOf(finding.file) },
                region: {
                  startLine: finding.line,
                  startColumn: finding.column,
                  endColumn: finding.endColumn,
                },
              },
            },
          ],
        })),
      },
    ],
  };
}

/** Relative to the folder of the run where the file lies in it, as code scanning expects. */
function uriOf(file: string): string {
  const shown = relative(process.cwd(), file);
  return (shown.startsWith('..') ? file : shown).split('/').map(encodeURIComponent).join('/');
}

function junitCases(report: CheckReport): JunitCase[] {
  if (report.findings.length === 0) return [{ name: 'the bundle is valid' }];
  return report.findings.map((finding) => ({
    name: `${finding.file}:${finding.line}:${finding.column} ${finding.code}`,
    // A warning is no failed test; it is told in the output of its case.
    ...(finding.severity === 'error' ? { failure: sentenceOf(finding) } : { output: sentenceOf(finding) }),
  }));
}
