// Judges a CEL expression when the policies are read, so that a typo is a finding and not a surprise at night.
import type { ASTNode, Environment, ErrorLocation, SourceRange } from '@marcbachmann/cel-js';
import { RE2JS } from 're2js';
import { nearest } from '../../../core/yaml-file.ts';
import { isNetwork } from '../conditions/network.ts';
import type { RelationModel } from '../relations/index.ts';
import { relatedFaults } from './check-related.ts';
import { callOf, nameRange, nodesOf, type Call } from './syntax-tree.ts';
import { isVariable, variables, vocabularyWith } from './vocabulary.ts';

/** What is wrong with an expression, and in which characters of it. */
export interface ExpressionFault {
  readonly code: string;
  readonly message: string;
  readonly range: SourceRange;
  readonly suggestion?: string;
}

/** Macros that walk a list, or name a value that a further macro could double. */
const multiplying = new Set(['all', 'exists', 'exists_one', 'map', 'filter', 'bind']);

/** What expressions may refer to beside the words of every bundle. */
export interface ExpressionSurroundings {
  /** CEL types of `resource.attributes`. */
  readonly attributes?: Readonly<Record<string, string>>;
  /** The types of relations.yaml, or null without any. */
  readonly relations?: RelationModel | null;
}

/**
 * Checks an expression.
 * Checks: syntax, size, variables, members, functions, types, that it yields bool; refuses `matches` (its time can
 * explode) and macros within macros (their work multiplies); literals of rematch, in_network, duration, timestamp and time
 * zones are tried; relation and type of related() are in the model, and it stands in no macro.
 * Does not check: that a claim or attribute is there (an absent one fails the expression, which denies).
 * `attributes` are those that the environment was made with.
 */
export function checkExpression(
  source: string,
  environment: Environment,
  { attributes = {}, relations = null }: ExpressionSurroundings = {},
): readonly ExpressionFault[] {
  const place: Surroundings = { environment, vocabulary: vocabularyWith(attributes), relations };
  let tree: ASTNode;
  try {
    tree = environment.parse(source).ast;
  } catch (error) {
    return [faultOf(celError(error), source, place)];
  }
  const refused = [...nodesOf(tree)].flatMap((node) => refusals(node, place));
  if (refused.length > 0) return refused;
  const checked = environment.check(source);
  if (!checked.valid) return [faultOf(celError(checked.error), source, place)];
  if (checked.type !== 'bool')
    return [
      {
        code: 'cel_not_bool',
        message: `the expression yields ${checked.type ?? 'something'}, not bool${checked.type === 'dyn' ? ': compare it with something' : ''}`,
        range: { start: 0, end: source.length },
      },
    ];
  return [];
}

/** What an expression may use. */
interface Surroundings {
  readonly relations: RelationModel | null;
  readonly environment: Environment;
  readonly vocabulary: ReturnType<typeof vocabularyWith>;
}

interface CelError {
  readonly code: string;
  readonly summary: string;
  readonly range: SourceRange | undefined;
  readonly node: ErrorLocation | ASTNode | undefined;
}

function celError(error: unknown): CelError {
  if (error instanceof Error && 'summary' in error) return error as unknown as CelError; // The three error classes of cel-js share this form.
  throw error;
}

/** Turns an error of the type checker into words, with the nearest known word where one is misspelt. */
function faultOf(error: CelError, source: string, place: Surroundings): ExpressionFault {
  const range = error.range ?? { start: 0, end: source.length };
  const word = source.slice(range.start, range.end);
  const node = error.node !== undefined && 'op' in error.node ? (error.node as ASTNode) : null; // A located node has all its members.
  if (error.code === 'unknown_variable')
    return misspelt('cel_unknown_variable', `there is no "${word}" here`, {
      word,
      range,
      known: Object.keys(variables),
    });
  if (error.code === 'no_such_key' && node !== null) return unknownMember(node, error.summary, place);
  const call = node === null ? null : callOf(node);
  if (error.code === 'no_matching_overload' && call !== null) {
    const known = functionNames(place.environment);
    if (!known.includes(call.name))
      return misspelt('cel_unknown_function', `there is no function "${call.name}"`, {
        word: call.name,
        range: nameRange(call),
        known,
      });
    const signature = error.summary.replace(/^.*for '(.*)'$/, '$1');
    return { code: 'cel_type', message: `there is no ${signature}`, range: nameRange(call) };
  }
  const isSyntax = error.summary.startsWith('Unexpected') || error.code.startsWith('unterminated');
  return { code: isSyntax ? 'cel_syntax' : 'cel_type', message: lowerFirst(error.summary), range };
}

function misspelt(
  code: string,
  message: string,
  { word, range, known }: { word: string; range: SourceRange; known: readonly string[] },
): ExpressionFault {
  const suggestion = nearest(word, known);
  return { code, message, range, ...(suggestion === undefined ? {} : { suggestion }) };
}

/** Names that a policy may use; `matches` is not suggested. */
function functionNames(environment: Environment): string[] {
  const names = environment.getDefinitions().functions.map(({ name }) => name);
  return [...new Set(names)].filter((name) => name !== 'matches');
}

/** A variable, or a member that has members of its own: its name, and theirs. */
function ownerOf(
  node: ASTNode,
  vocabulary: Surroundings['vocabulary'],
): { readonly name: string; readonly members: readonly string[] } | null {
  if (node.op === 'id') {
    return isVariable(node.args) ? { name: node.args, members: Object.keys(vocabulary[node.args]) } : null;
  }
  if (node.op !== '.' || node.args[0].op !== 'id') return null;
  const [{ args: variable }, word] = [node.args[0], node.args[1]];
  if (!isVariable(variable) || !Object.hasOwn(vocabulary[variable], word)) return null;
  const inner = vocabulary[variable][word];
  return typeof inner === 'object' ? { name: `${variable}.${word}`, members: Object.keys(inner) } : null;
}

function isUnknownMember(node: ASTNode, { vocabulary }: Pick<Surroundings, 'vocabulary'>): boolean {
  return node.op === '.' && ownerOf(node.args[0], vocabulary)?.members.includes(node.args[1]) === false;
}

/** A member that a variable does not have. */
function unknownMember(
  node: ASTNode,
  summary: string,
  { vocabulary }: Pick<Surroundings, 'vocabulary'>,
): ExpressionFault {
  const owner = node.op === '.' ? ownerOf(node.args[0], vocabulary) : null;
  if (node.op === '.' && owner !== null) {
    const word = node.args[1];
    const end = node.range.end;
    const range = { start: end - word.length, end };
    const message = `${owner.name} has no "${word}"`;
    const { attributes } = vocabulary.resource;
    if (owner.name === 'resource' && typeof attributes === 'object' && Object.hasOwn(attributes, word))
      return { code: 'cel_unknown_field', message, range, suggestion: `attributes.${word}` };
    return misspelt('cel_unknown_field', message, { word, range, known: owner.members });
  }
  return { code: 'cel_unknown_field', message: lowerFirst(summary), range: node.range };
}

/** What is refused although CEL would take it. */
function refusals(node: ASTNode, place: Surroundings): ExpressionFault[] {
  const call = callOf(node);
  if (call === null) return [];
  const { name, operands } = call;
  const refuse = (code: string, message: string, range = nameRange(call)): ExpressionFault[] => [
    { code, message, range },
  ];
  if (name === 'matches')
    return [
      {
        code: 'cel_refused',
        message: 'matches() is refused, because its time can explode on hostile text; rematch() is RE2',
        range: nameRange(call),
        suggestion: 'rematch',
      },
    ];
  if (multiplying.has(name) && call.receiver !== null) {
    const inner = operands
      .flatMap((operand) => [...nodesOf(operand)])
      .find((each) => isMacro(callOf(each)) || callOf(each)?.name === 'related');
    const found = inner === undefined ? null : callOf(inner);
    if (found !== null)
      return refuse(
        'cel_refused',
        `${found.name}() within ${name}() is refused, because the work multiplies`,
        nameRange(found),
      );
  }
  if (name === 'related' && call.receiver === null) return relatedFaults(call, place.relations);
  const member = operands[0];
  if (name === 'has' && member?.op === '.') {
    // CEL answers false for a member that no variable has, which would hide a typo.
    const typo = [...nodesOf(member)].find((each) => isUnknownMember(each, place));
    if (typo !== undefined) return [unknownMember(typo, '', place)];
  }
  return literalFaults(call);
}

const isMacro = (call: Call | null): boolean =>
  call !== null && call.receiver !== null && multiplying.has(call.name);

/** What the text in a call must be, so that it cannot fail later. */
interface LiteralRule {
  readonly applies: (call: Call) => boolean;
  readonly what: string;
  readonly isGood: (text: string) => boolean;
  /** Must be written out, not computed: the work is bounded by what the operator wrote. */
  readonly writtenOut: boolean;
}

const literalRules: readonly LiteralRule[] = [
  {
    applies: ({ name, receiver }) => name === 'rematch' && receiver !== null,
    what: 'a pattern of RE2',
    isGood: (text) => isPossible(() => RE2JS.compile(text)),
    writtenOut: true,
  },
  {
    applies: ({ name, receiver }) => name === 'in_network' && receiver !== null,
    what: 'an address or a CIDR block',
    isGood: isNetwork,
    writtenOut: true,
  },
  {
    applies: ({ name, receiver }) => name === 'duration' && receiver === null,
    what: 'a duration such as 90m or 1h30m',
    isGood: (text) => /^-?(\d+(\.\d+)?(h|m|s|ms|us|ns))+$/.test(text),
    writtenOut: false,
  },
  {
    applies: ({ name, receiver }) => name === 'timestamp' && receiver === null,
    what: 'a moment such as 2026-01-31T08:00:00Z',
    isGood: (text) => /^\d{4}-\d\d-\d\dT/.test(text) && !Number.isNaN(Date.parse(text)),
    writtenOut: false,
  },
  {
    applies: ({ name, receiver }) => /^get[A-Z]/.test(name) && receiver !== null,
    what: 'a timezone such as Europe/Berlin',
    isGood: (text) => isPossible(() => new Intl.DateTimeFormat('en', { timeZone: text })),
    writtenOut: false,
  },
];

function literalFaults(call: Call): ExpressionFault[] {
  const [operand] = call.operands;
  const rule = literalRules.find(({ applies }) => applies(call));
  if (operand === undefined || rule === undefined) return [];
  const literal = operand.op === 'value' && typeof operand.args === 'string' ? operand.args : null;
  const message =
    literal === null
      ? rule.writtenOut
        ? `${call.name}() takes ${rule.what} that is written out here`
        : null
      : rule.isGood(literal)
        ? null
        : `this is not ${rule.what}`;
  return message === null ? [] : [{ code: 'cel_literal', message, range: operand.range }];
}

function isPossible(run: () => unknown): boolean {
  try {
    run();
    return true;
  } catch {
    return false;
  }
}

const lowerFirst = (text: string): string => `${text.slice(0, 1).toLowerCase()}${text.slice(1)}`;
