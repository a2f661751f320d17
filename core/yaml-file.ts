// Reads one YAML file into a validated value. Every fault is found in one run and carries file:line:column, the
// key path and the nearest known key. Nothing here has side effects beyond reading the file.
import { readFileSync } from 'node:fs';
import { distance } from 'fastest-levenshtein';
import { LineCounter, isMap, parseDocument, type Document } from 'yaml';
import type { z } from 'zod';

/** One fault in a configuration or policy file, with where it is and what to do. */
export interface Finding {
  readonly file: string;
  /** 1-based; 1 when the fault is the whole file. */
  readonly line: number;
  readonly column: number;
  /** Dotted path of the key, e.g. `issuers.contoso.audiences`; empty for the whole file. */
  readonly keyPath: string;
  /** Stable word for tools: `unknown_key`, `wrong_value`, `duplicate_key`, `missing_file`, `yaml_syntax` … */
  readonly code: string;
  readonly message: string;
  readonly suggestion?: string;
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
  /** Builds a finding at the value of `path`, e.g. `['roles', 'LLM.User', 'inherits', 0]`. */
  readonly finding: (path: readonly PropertyKey[], message: string, extra?: { code?: string; suggestion?: string }) => Finding;
}

/**
 * Reads and validates a YAML file.
 * Checks: YAML 1.2 syntax, duplicate keys, alias bombs, `__proto__` keys, the schema with unknown keys refused.
 * Does not check: references between files (their loader does) or that secrets can be read (core/secret.ts).
 * @throws ConfigurationError with every finding of the file.
 */
export function readYamlFile<Schema extends z.ZodType>(path: string, schema: Schema, shownAs = path): YamlFile<z.output<Schema>> {
  let source: string;
  try {
    source = readFileSync(path, 'utf8');
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    const message = missing ? 'the file does not exist' : 'the file cannot be read';
    throw new ConfigurationError([
      { file: shownAs, line: 1, column: 1, keyPath: '', code: missing ? 'missing_file' : 'unreadable_file', message },
    ]);
  }
  return parseYaml(source, schema, shownAs);
}

/** The same for text already in memory. @throws ConfigurationError */
export function parseYaml<Schema extends z.ZodType>(source: string, schema: Schema, file: string): YamlFile<z.output<Schema>> {
  const lines = new LineCounter();
  const document = parseDocument(source, { lineCounter: lines, uniqueKeys: true, strict: true, version: '1.2', merge: false });
  if (document.errors.length > 0) {
    throw new ConfigurationError(
      document.errors.map((error) => ({
        file,
        line: error.linePos?.[0].line ?? 1,
        column: error.linePos?.[0].col ?? 1,
        keyPath: '',
        code: error.code === 'DUPLICATE_KEY' ? 'duplicate_key' : 'yaml_syntax',
        message: error.code === 'DUPLICATE_KEY' ? 'this key is given twice' : (error.message.split('\n')[0] ?? error.code).replace(/ at line \d+.*$/, ''),
      })),
    );
  }
  const finding: YamlFile<unknown>['finding'] = (path, message, extra = {}) => ({
    file,
    ...positionOf(document, lines, path),
    keyPath: path.map(String).join('.'),
    code: extra.code ?? 'wrong_value',
    message,
    ...(extra.suggestion === undefined ? {} : { suggestion: extra.suggestion }),
  });
  let plain: unknown;
  try {
    plain = document.toJS({ maxAliasCount: 50 });
  } catch {
    throw new ConfigurationError([finding([], 'too many YAML aliases', { code: 'yaml_syntax' })]);
  }
  const parsed = schema.safeParse(plain ?? {});
  if (parsed.success) return { file, value: parsed.data, finding };
  throw new ConfigurationError(parsed.error.issues.flatMap((issue) => findingsOf(issue, schema, finding)));
}

function findingsOf(issue: z.core.$ZodIssue, schema: z.ZodType, finding: YamlFile<unknown>['finding']): Finding[] {
  if (issue.code !== 'unrecognized_keys') return [finding(issue.path, issue.message)];
  const known = knownKeys(schema, issue.path);
  return issue.keys.map((key) => {
    const suggestion = nearest(key, known);
    return finding([...issue.path, key], `unknown key "${key}"`, { code: 'unknown_key', ...(suggestion === undefined ? {} : { suggestion }) });
  });
}

/** The nearest word by edit distance, or undefined when none is near enough to be a typo. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(word.length / 3)) + 1;
  for (const candidate of known) {
    const edits = distance(word.toLowerCase(), candidate.toLowerCase());
    if (edits < bestDistance) [best, bestDistance] = [candidate, edits];
  }
  return best;
}

/** Keys that the schema knows at a path: walks objects, records, arrays, unions and wrappers of zod. */
function knownKeys(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  let level: SchemaNode[] = [schema as unknown as SchemaNode];
  for (const key of path) level = level.flatMap(unwrap).flatMap((node) => childrenAt(node, key));
  return level.flatMap(unwrap).flatMap((node) => Object.keys(node.def.shape ?? {}));
}

// The parts of zod's definition tree that the walk reads; zod documents `def` for tools like this one.
interface SchemaNode {
  readonly def: {
    readonly type: string;
    readonly shape?: Record<string, SchemaNode>;
    readonly innerType?: SchemaNode;
    readonly in?: SchemaNode;
    readonly options?: SchemaNode[];
    readonly valueType?: SchemaNode;
    readonly element?: SchemaNode;
  };
}

function unwrap(node: SchemaNode): SchemaNode[] {
  const { innerType, options } = node.def;
  if (innerType !== undefined) return unwrap(innerType);
  if (node.def.in !== undefined) return unwrap(node.def.in);
  if (options !== undefined) return options.flatMap(unwrap);
  return [node];
}

function childrenAt(node: SchemaNode, key: PropertyKey): SchemaNode[] {
  const child = node.def.shape?.[String(key)] ?? node.def.valueType ?? node.def.element;
  return child === undefined ? [] : [child];
}

function positionOf(document: Document, lines: LineCounter, path: readonly PropertyKey[]): { line: number; column: number } {
  for (let depth = path.length; depth > 0; depth--) {
    const parent = depth === 1 ? document.contents : document.getIn(path.slice(0, depth - 1), true);
    const key = path[depth - 1];
    if (isMap(parent)) {
      const pair = parent.items.find((item) => String(item.key) === String(key));
      const range = (pair?.key as { range?: [number, number, number] } | undefined)?.range;
      if (range !== undefined) return at(lines, range[0]);
    }
    const node = document.getIn(path.slice(0, depth), true) as { range?: [number, number, number] } | undefined;
    if (node?.range !== undefined) return at(lines, node.range[0]);
  }
  return { line: 1, column: 1 };
}

function at(lines: LineCounter, offset: number): { line: number; column: number } {
  const { line, col } = lines.linePos(offset);
  return { line, column: col };
}
