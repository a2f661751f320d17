// A finding as the tools show it: how bad it is, exactly which word it is about, and the page that explains it.
import { readFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { Finding } from '../../core/yaml-file.ts';

export type Severity = 'error' | 'warning';

/** A finding with its severity, the extent of its word and its page. */
export interface JudgedFinding extends Finding {
  readonly severity: Severity;
  /** 1-based column behind the last character of the word. */
  readonly endColumn: number;
  /** Page that explains the file, relative to the project. */
  readonly page: string;
}

/** Lines of files that findings are about, each read once. */
export type SourceLines = (file: string) => readonly string[];

/** Reads each file at most once; a file that cannot be read has no lines. */
export function sourceLines(): SourceLines {
  const known = new Map<string, readonly string[]>();
  return (file) => {
    let lines = known.get(file);
    if (lines === undefined) {
      try {
        lines = readFileSync(file, 'utf8').split(/\r?\n/);
      } catch {
        lines = [];
      }
      known.set(file, lines);
    }
    return lines;
  };
}

/** Codes whose fault lies in the value, not in the key that the position names. */
const valueCodes = new Set(['wrong_value', 'unknown_reference']);
/** One word of YAML: quoted, or up to what ends a plain scalar. */
const word = /^(?:"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\s,:[\]{}#]+(?::[^\s,[\]{}#]+)*|[[\]{}])/;

/** Adds severity, extent and page; moves from a key to its plain value where the value is what is wrong. */
export function judge(finding: Finding, severity: Severity, lines: SourceLines): JudgedFinding {
  const text = lines(finding.file)[finding.line - 1] ?? '';
  const { column, length } = extentOf(finding, text);
  return { ...finding, column, severity, endColumn: column + length, page: pageOf(finding.file) };
}

function extentOf(finding: Finding, text: string): { column: number; length: number } {
  // A finding that says how long its word is, such as one inside an expression, is believed.
  const { endColumn } = finding;
  if (endColumn !== undefined && endColumn > finding.column)
    return { column: finding.column, length: endColumn - finding.column };
  const rest = text.slice(finding.column - 1);
  const own = word.exec(rest)?.[0] ?? '';
  if (valueCodes.has(finding.code)) {
    const gap = /^\s*:\s+/.exec(rest.slice(own.length))?.[0];
    const value = gap === undefined ? undefined : word.exec(rest.slice(own.length + gap.length))?.[0];
    if (gap !== undefined && value !== undefined && !/^[[{|>&*!]/.test(value))
      return { column: finding.column + own.length + gap.length, length: value.length };
  }
  return { column: finding.column, length: Math.max(1, own.length) };
}

function pageOf(file: string): string {
  if (basename(dirname(file)) === 'tests') return 'docs/reference/policy-tools.md#test-files';
  const name = basename(file);
  if (!/^(issuers|roles|rules|limits|guards|routes)\.ya?ml$/.test(name)) return 'docs/reference/config.md';
  return `docs/reference/policies.md#policies${name.replaceAll(/[^a-z]/g, '')}`;
}
