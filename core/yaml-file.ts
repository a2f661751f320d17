// Reads one YAML file into a validated value. Every fault is found in one run and carries file:line:column, the
// key path and the nearest known key. Nothing here has side effects beyond reading the file.
import { readFileSync } from 'node:fs';
import {
  LineCounter,
  isMap,
  isScalar,
  parseDocument,
  visit,
  type Document,
  type Node,
  type Pair,
  type YAMLError,
} from 'yaml';
import type { z } from 'zod';
import { nearest, objectionsOf } from './schema-findings.ts';
import { placeWithin } from './yaml-scalar.ts';

export { nearest };

/** One fault in a configuration or policy file, with where it is and what to do. */
export interface Finding {
  readonly file: string;
  /** 1-based; 1 when the fault is the whole file. */
  readonly line: number;
  readonly column: number;
  /** Dotted path of the key, e.g. `issuers.contoso.audiences`; empty for the whole file. */
  readonly keyPath: string;
  /** Stable word for tools: `unknown_key`, `missing_key`, `wrong_value`, `duplicate_key`, `missing_file`, `yaml_syntax` … */
  readonly code: string;
  readonly message: string;
  readonly suggestion?: string;
  /** Column after the faulty word, where it is known and on the same line. */
  readonly endColumn?: number;
}

/** A start-up or reload that cannot go on: all findings of one run, never a stack for the operator. */
export class ConfigurationError extends Error {
  readonly findings: readonly Finding[];
  constructor(findings: readonly Finding[]) {
    super(findings.map(formatFinding).join('\n'));
    this.name = 'ConfigurationError';
    this.findings = findings;
  }
}

/** `file:line:col  keyPath: message; did you mean "x"?`, one line. */
export function formatFinding(finding: Finding): string {
  const place = `${finding.file}:${finding.line}:${finding.column}`;
  const key = finding.keyPath === '' ? '' : ` ${finding.keyPath}:`;
  const hint = finding.suggestion === undefined ? '' : `; did you mean "${finding.suggestion}"?`;
  return `${place}${key} ${finding.message}${hint}`;
}

/** A parsed file whose values can be traced back to lines, for checks that a schema cannot make. */
export interface YamlFile<T> {
  readonly file: string;
  readonly value: T;
  /** Builds a finding at the key or list entry of `path`, e.g. `['roles', 'LLM.User', 'inherits', 0]`. */
  readonly finding: (path: readonly PropertyKey[], message: string, extra?: FindingExtra) => Finding;
  /** Builds a finding at some characters of the text that is the value of `path`, wherever YAML's folding put them. */
  readonly findingWithin: (
    path: readonly PropertyKey[],
    range: { readonly start: number; readonly end: number },
    message: string,
    extra?: FindingExtra,
  ) => Finding;
}

interface FindingExtra {
  readonly code?: string;
  readonly suggestion?: string;
}

/**
 * Reads and validates a YAML file.
 * Checks: UTF-8, YAML 1.2 syntax, duplicate keys, unknown tags, alias bombs, `__proto__` keys, the schema with
 * unknown keys refused.
 * Does not check: references between files (their loader does) or that secrets can be read (core/secret.ts).
 * @throws ConfigurationError with every finding of the file.
 */
export function readYamlFile<Schema extends z.ZodType>(
  path: string,
  schema: Schema,
  shownAs = path,
): YamlFile<z.output<Schema>> {
  return parseYaml(decodeYaml(readFileOrFinding(path, shownAs), shownAs), schema, shownAs);
}

/** The bytes of a file. @throws ConfigurationError when it is missing or unreadable. */
export function readFileOrFinding(path: string, shownAs = path): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    const cause = (error as NodeJS.ErrnoException).code; // Only the file system throws here.
    const missing = cause === 'ENOENT' || cause === 'ENOTDIR';
    const message = missing ? 'the file does not exist' : `the file cannot be read (${cause ?? 'error'})`;
    throw new ConfigurationError([wholeFile(shownAs, missing ? 'missing_file' : 'unreadable_file', message)]);
  }
}

/** Bytes as text, byte order mark dropped. @throws ConfigurationError when they are not UTF-8. */
export function decodeYaml(bytes: Buffer, file: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new ConfigurationError([wholeFile(file, 'yaml_syntax', 'the file is not UTF-8 text')]);
  }
}

/** A finding about a file as a whole. */
export function wholeFile(file: string, code: string, message: string): Finding {
  return { file, line: 1, column: 1, keyPath: '', code, message };
}

/** The same as readYamlFile for text already in memory. @throws ConfigurationError */
export function parseYaml<Schema extends z.ZodType>(
  source: string,
  schema: Schema,
  file: string,
): YamlFile<z.output<Schema>> {
  const lines = new LineCounter();
  const document = parseDocument(source, {
    lineCounter: lines,
    uniqueKeys: true,
    strict: true,
    version: '1.2',
    merge: false,
  });
  const finding: YamlFile<unknown>['finding'] = (path, message, extra = {}) => ({
    file,
    ...positionOf(document, lines, path),
    keyPath: path.map(String).join('.'),
    code: extra.code ?? 'wrong_value',
    message,
    ...(extra.suggestion === undefined ? {} : { suggestion: extra.suggestion }),
  });
  const findingWithin: YamlFile<unknown>['findingWithin'] = (path, range, message, extra) => ({
    ...finding(path, message, extra),
    ...placeWithin(source, document.getIn(path, true), range, lines),
  });
  const faults = [...syntaxFindings(document, file), ...keyFindings(document, lines, file)];
  if (faults.length > 0) throw new ConfigurationError(faults);

  const value = plainValue(document, finding);
  const parsed = schema.safeParse(value);
  if (parsed.success) return { file, value: parsed.data, finding, findingWithin };
  throw new ConfigurationError(
    objectionsOf(parsed.error, schema, value).map(({ path, message, ...extra }) =>
      finding(path, message, extra),
    ),
  );
}

/** More than this many syntax errors are echoes of the first. */
const maxSyntaxFindings = 10;

function syntaxFindings(document: Document, file: string): Finding[] {
  return [...document.errors, ...document.warnings].slice(0, maxSyntaxFindings).map((error) => {
    const duplicate = error.code === 'DUPLICATE_KEY';
    return {
      file,
      line: error.linePos?.[0].line ?? 1,
      column: error.linePos?.[0].col ?? 1,
      keyPath: duplicate ? keyPathAt(document, error.pos[0]) : '',
      code: duplicate ? 'duplicate_key' : 'yaml_syntax',
      message: sentenceOf(error),
    };
  });
}

/** The parser's sentence, but for those that speak to a programmer. */
function sentenceOf({ code, message }: YAMLError): string {
  if (code === 'DUPLICATE_KEY') return 'this key is given twice';
  if (code === 'MULTIPLE_DOCS') return 'the file holds more than one document';
  if (message.startsWith('Maximum call stack')) return 'it is nested too deeply';
  return (message.split('\n')[0] ?? code).replace(/ at line \d+.*$/, '');
}

/** Keys that JavaScript objects would treat as something else than a key. */
function keyFindings(document: Document, lines: LineCounter, file: string): Finding[] {
  const findings: Finding[] = [];
  visit(document, {
    Pair: (_, pair, ancestors) => {
      const key: unknown = pair.key;
      const offset = (key as Node | null)?.range?.[0] ?? 0;
      const fault = !isScalar(key)
        ? 'a key is plain text'
        : key.value === '__proto__'
          ? 'this key is not permitted'
          : null;
      if (fault === null) return;
      const keyPath = [
        ...ancestors.filter(isPairNode).map(keyText),
        ...(isScalar(key) ? [String(key.value)] : []),
      ].join('.');
      findings.push({ file, ...at(lines, offset), keyPath, code: 'unknown_key', message: fault });
    },
  });
  return findings;
}

function plainValue(document: Document, finding: YamlFile<unknown>['finding']): unknown {
  try {
    return (document.toJS({ maxAliasCount: 50 }) as unknown) ?? {};
  } catch (error) {
    const unresolved = error instanceof Error && error.message.startsWith('Unresolved alias');
    const message = unresolved ? 'a YAML alias names no anchor before it' : 'too many YAML aliases';
    throw new ConfigurationError([finding([], message, { code: 'yaml_syntax' })]);
  }
}

const isPairNode = (node: unknown): node is Pair =>
  typeof node === 'object' && node !== null && 'key' in node && 'value' in node;
const keyText = (pair: Pair): string => (isScalar(pair.key) ? String(pair.key.value) : '?');

/** Dotted path of the key that begins at a byte offset. */
function keyPathAt(document: Document, offset: number): string {
  let found = '';
  visit(document, {
    Pair: (_, pair, ancestors) => {
      if ((pair.key as Node | null)?.range?.[0] !== offset) return undefined;
      found = [...ancestors.filter(isPairNode).map(keyText), keyText(pair)].join('.');
      return visit.BREAK;
    },
  });
  return found;
}

function positionOf(
  document: Document,
  lines: LineCounter,
  path: readonly PropertyKey[],
): { line: number; column: number } {
  for (let depth = path.length; depth > 0; depth--) {
    const parent = depth === 1 ? document.contents : document.getIn(path.slice(0, depth - 1), true);
    const key = path[depth - 1];
    if (isMap(parent)) {
      const pair = parent.items.find((item) => String(item.key) === String(key));
      const range = (pair?.key as Node | undefined)?.range;
      if (range) return at(lines, range[0]);
    }
    const node = document.getIn(path.slice(0, depth), true) as Node | undefined;
    if (node?.range) return at(lines, node.range[0]);
  }
  return { line: 1, column: 1 };
}

function at(lines: LineCounter, offset: number): { line: number; column: number } {
  const { line, col } = lines.linePos(offset);
  return { line, column: col };
}
