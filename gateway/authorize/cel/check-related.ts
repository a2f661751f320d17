// Judges calls of related() when the policies are read: relation and type of the object stand written out, and the model
// of relations.yaml has them.
import type { ASTNode, SourceRange } from '@marcbachmann/cel-js';
import { nearest } from '../../../core/yaml-file.ts';
import type { RelationModel } from '../relations/index.ts';
import { namePattern } from '../relations/names.ts';
import type { ExpressionFault } from './check-expression.ts';
import { nameRange, type Call } from './syntax-tree.ts';

/**
 * What is wrong with a call of related().
 * Does not check: how many operands there are and that they are texts (the type checker does).
 */
export function relatedFaults(call: Call, model: RelationModel | null): ExpressionFault[] {
  const [relation, object, subject] = call.operands;
  if (relation === undefined || object === undefined || call.operands.length > 3) return [];
  if (model === null || model.size === 0) {
    const message = 'related() asks relations.yaml, which has no types here';
    return [{ code: 'cel_relations', message, range: nameRange(call) }];
  }
  const named = typeFault(object, model);
  const faults = [
    ...named.faults,
    ...relationFault(relation, model, named.type),
    ...(subject === undefined ? [] : typeFault(subject, model).faults),
  ];
  return faults;
}

function relationFault(operand: ASTNode, model: RelationModel, type: string | null): ExpressionFault[] {
  const relation = textOf(operand);
  if (relation === null) return [literal('a relation is written out here, such as "viewer"', operand.range)];
  if (type === null) return [];
  const known = [...(model.get(type)?.keys() ?? [])];
  if (known.includes(relation)) return [];
  return [
    unknown(`${type} has no relation "${relation}"`, relation, { range: within(operand, relation), known }),
  ];
}

/** The type of an object or subject: the text itself, or what its first part says before the colon. */
function typeFault(
  operand: ASTNode,
  model: RelationModel,
): { readonly type: string | null; readonly faults: readonly ExpressionFault[] } {
  const first = firstPart(operand);
  const text = textOf(first);
  const colon = text?.indexOf(':') ?? -1;
  const type = text?.slice(0, Math.max(colon, 0)) ?? '';
  const isWhole = first === operand;
  if (text === null || !namePattern.test(type) || (isWhole && colon === text.length - 1)) {
    const message = 'an object begins with its type, written out: "model:gpt2" or "model:" + request.model';
    return { type: null, faults: [literal(message, operand.range)] };
  }
  const known = [...model.keys()];
  if (known.includes(type)) return { type, faults: [] };
  const fault = unknown(`relations.yaml has no type "${type}"`, type, { range: within(first, type), known });
  return { type: null, faults: [fault] };
}

const literal = (message: string, range: SourceRange): ExpressionFault => ({
  code: 'cel_literal',
  message,
  range,
});

function unknown(
  message: string,
  word: string,
  { range, known }: { range: SourceRange; known: readonly string[] },
): ExpressionFault {
  const suggestion = nearest(word, known);
  return { code: 'cel_relations', message, range, ...(suggestion === undefined ? {} : { suggestion }) };
}

/** The leftmost part of a text that is put together with `+`. */
function firstPart(node: ASTNode): ASTNode {
  return node.op === '+' ? firstPart(node.args[0]) : node;
}

const textOf = (node: ASTNode): string | null =>
  node.op === 'value' && typeof node.args === 'string' ? node.args : null;

/** Where a word at the beginning of a literal stands. */
function within({ range, input }: ASTNode, word: string): SourceRange {
  const start = input.indexOf(word, range.start);
  return start === -1 || start >= range.end ? range : { start, end: start + word.length };
}
