// Turns what a zod schema objects to into sentences for an operator, with the nearest known word for a misspelt one.
import { distance } from 'fastest-levenshtein';
import type { z } from 'zod';

/** One objection of a schema: where, a stable code, a sentence, and the nearest known word. */
export interface SchemaObjection {
  readonly path: readonly PropertyKey[];
  readonly code: 'unknown_key' | 'missing_key' | 'wrong_value';
  readonly message: string;
  readonly suggestion?: string;
}

/** Every objection of one failed parse of `value`. */
export function objectionsOf(error: z.ZodError, schema: z.ZodType, value: unknown): SchemaObjection[] {
  return error.issues.flatMap((issue) => translate(issue, schema, value));
}

function translate(issue: z.core.$ZodIssue, schema: z.ZodType, value: unknown): SchemaObjection[] {
  const given = valueAt(value, issue.path);
  // eslint-disable-next-line @typescript-eslint/switch-exhaustiveness-check -- The other codes keep the schema's sentence.
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => unknownKey(key, issue.path, { schema, value }));
    case 'invalid_union':
      return translateUnion(issue, { schema, value, given });
    case 'invalid_key':
      return [{ path: issue.path, code: 'wrong_value', message: issue.issues[0]?.message ?? issue.message }];
    case 'invalid_value':
      return [misspelt(issue.path, given, issue.values.map(String))];
    case 'invalid_type':
      if (given === undefined)
        return [
          {
            path: issue.path,
            code: 'missing_key',
            message: `this key is missing (${article(issue.expected)})`,
          },
        ];
      // A schema's own sentence is kept; zod's own is put into the words of YAML.
      if (!issue.message.startsWith('Invalid input')) break;
      return [
        {
          path: issue.path,
          code: 'wrong_value',
          message: `expected ${article(issue.expected)}, found ${kindOf(given)}`,
        },
      ];
    case 'too_small':
      if (!issue.message.startsWith('Too small') || issue.origin !== 'array') break;
      return [
        {
          path: issue.path,
          code: 'wrong_value',
          message:
            issue.minimum === 1 ? 'the list is empty' : `the list needs at least ${issue.minimum} entries`,
        },
      ];
    default:
      break;
  }
  return [{ path: issue.path, code: 'wrong_value', message: issue.message }];
}

function unknownKey(
  key: string,
  path: readonly PropertyKey[],
  { schema, value }: Omit<Place, 'given'>,
): SchemaObjection {
  const known = knownKeys(schema, value, path);
  const present = new Set(Object.keys(valueAt(value, path) ?? {}));
  const absent = known.filter((name) => !present.has(name));
  // A misspelt key is most likely one that is not there yet.
  const found = suggest(nearest(key, absent) ?? nearest(key, known));
  return { path: [...path, key], code: 'unknown_key', message: `unknown key "${key}"`, ...found };
}

interface Place {
  readonly schema: z.ZodType;
  readonly value: unknown;
  readonly given: unknown;
}

/** A union is explained by the branch that came nearest to fitting: which knows most of the keys, then with fewest faults. */
function translateUnion(
  issue: z.core.$ZodIssueInvalidUnion,
  { schema, value, given }: Place,
): SchemaObjection[] {
  const discriminator = 'discriminator' in issue ? issue.discriminator : undefined;
  if (discriminator !== undefined) {
    const options = 'options' in issue && Array.isArray(issue.options) ? issue.options.map(String) : [];
    if (given === undefined) {
      // Without it no branch was tried, so its misspelling is looked for here.
      const path = issue.path.slice(0, -1);
      const known = new Set(knownKeys(schema, value, path));
      const strangers = Object.keys(valueAt(value, path) ?? {}).filter((key) => !known.has(key));
      const message = `this key is missing (one of ${options.join(', ')})`;
      return [
        { path: issue.path, code: 'missing_key', message },
        ...strangers.map((key) => unknownKey(key, path, { schema, value })),
      ];
    }
    return [misspelt(issue.path, given, options)];
  }
  const branches = issue.errors.filter(
    (branch) => !branch.some((inner) => inner.code === 'invalid_type' && inner.path.length === 0),
  );
  const best = branches.toSorted(
    (left, right) => strangersIn(left) - strangersIn(right) || left.length - right.length,
  )[0];
  if (best !== undefined)
    return best.flatMap((inner) =>
      translate({ ...inner, path: [...issue.path, ...inner.path] }, schema, value),
    );
  if (given === undefined) return [{ path: issue.path, code: 'missing_key', message: 'this key is missing' }];
  const expected = issue.errors
    .flat()
    .flatMap((inner) => (inner.code === 'invalid_type' ? [article(inner.expected)] : []));
  const message =
    expected.length === 0
      ? issue.message
      : `expected ${[...new Set(expected)].join(' or ')}, found ${kindOf(given)}`;
  return [{ path: issue.path, code: 'wrong_value', message }];
}

/** Keys of the value itself that a branch does not know. */
const strangersIn = (branch: readonly z.core.$ZodIssue[]): number =>
  branch.reduce(
    (count, inner) =>
      count + (inner.code === 'unrecognized_keys' && inner.path.length === 0 ? inner.keys.length : 0),
    0,
  );

function misspelt(path: readonly PropertyKey[], given: unknown, known: readonly string[]): SchemaObjection {
  const code = given === undefined ? 'missing_key' : 'wrong_value';
  const found = typeof given === 'string' ? suggest(nearest(given, known)) : {};
  return {
    path,
    code,
    message: `expected ${known.length === 1 ? '' : 'one of '}${known.join(', ')}`,
    ...found,
  };
}

const suggest = (suggestion: string | undefined): { suggestion?: string } =>
  suggestion === undefined ? {} : { suggestion };

/** The nearest word by edit distance, or undefined when none is near enough to be a typo. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const lower = word.toLowerCase();
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(word.length / 3)) + 1;
  for (const candidate of known) {
    const edits = editsBetween(lower, candidate.toLowerCase());
    // Two words without a letter in common are no typo of each other, however short they are.
    if (edits < bestDistance && edits < Math.max(word.length, candidate.length))
      [best, bestDistance] = [candidate, edits];
  }
  return best;
}

/** Edit distance in which two swapped neighbours count once, because that is one slip of the hand. */
function editsBetween(left: string, right: string): number {
  if (left.length === right.length) {
    let at = 0;
    while (at < left.length && left[at] === right[at]) at++;
    const swapped =
      at === -1 ? left : left.slice(0, at) + (left[at + 1] ?? '') + (left[at] ?? '') + left.slice(at + 2);
    if (swapped === right) return at === left.length ? 0 : 1;
  }
  return distance(left, right);
}

const articles: Readonly<Record<string, string>> = {
  object: 'a mapping',
  record: 'a mapping',
  array: 'a list',
  string: 'text',
  int: 'a whole number',
  number: 'a number',
  boolean: 'true or false',
};
const article = (type: string): string => articles[type] ?? type;

function kindOf(value: unknown): string {
  if (value === null) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  return articles[typeof value] ?? typeof value;
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  let level = value;
  for (const key of path) {
    if (typeof level !== 'object' || level === null || !Object.hasOwn(level, key)) return undefined;
    level = (level as Record<PropertyKey, unknown>)[key]; // Parsed YAML: plain objects and arrays only.
  }
  return level;
}

// The parts of zod's definition tree that the walk reads; zod documents `def` for tools like this one.
interface SchemaNode {
  readonly def: {
    readonly type: string;
    readonly shape?: Record<string, SchemaNode>;
    readonly innerType?: SchemaNode;
    readonly in?: SchemaNode;
    readonly options?: SchemaNode[];
    readonly discriminator?: string;
    readonly values?: unknown[];
    readonly valueType?: SchemaNode;
    readonly element?: SchemaNode;
  };
}

/** Keys that the schema knows at a path: walks objects, records, arrays, wrappers and the fitting branch of unions. */
function knownKeys(schema: z.ZodType, value: unknown, path: readonly PropertyKey[]): string[] {
  let level = unwrap(schema, value);
  for (const [depth, key] of path.entries()) {
    const given = valueAt(value, path.slice(0, depth + 1));
    level = level.flatMap((node) => childrenAt(node, key)).flatMap((node) => unwrap(node, given));
  }
  return level.flatMap((node) => Object.keys(node.def.shape ?? {}));
}

function unwrap(node: SchemaNode, given: unknown): SchemaNode[] {
  const { innerType, options, discriminator } = node.def;
  if (innerType !== undefined) return unwrap(innerType, given);
  if (node.def.in !== undefined) return unwrap(node.def.in, given);
  if (options === undefined) return [node];
  const branches = options.flatMap((option) => unwrap(option, given));
  if (discriminator === undefined) return branches;
  const chosen = valueAt(given, [discriminator]);
  const fitting = branches.filter((branch) =>
    branch.def.shape?.[discriminator]?.def.values?.includes(chosen),
  );
  return fitting.length > 0 ? fitting : branches;
}

function childrenAt(node: SchemaNode, key: PropertyKey): SchemaNode[] {
  const child = node.def.shape?.[String(key)] ?? node.def.valueType ?? node.def.element;
  return child === undefined ? [] : [child];
}
