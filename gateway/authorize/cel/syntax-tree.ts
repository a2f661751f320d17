// Walks the syntax tree of a CEL expression: one place knows how nodes hold their operands.
import type { ASTNode } from '@marcbachmann/cel-js';

/** A call `name(…)` or `receiver.name(…)` in an expression. */
export interface Call {
  readonly node: ASTNode;
  readonly name: string;
  readonly receiver: ASTNode | null;
  readonly operands: readonly ASTNode[];
}

/** The call that a node is, or null. */
export function callOf(node: ASTNode): Call | null {
  if (node.op === 'call') return { node, name: node.args[0], receiver: null, operands: node.args[1] };
  if (node.op === 'rcall')
    return { node, name: node.args[0], receiver: node.args[1], operands: node.args[2] };
  return null;
}

/** Direct operands of a node. */
export function childrenOf(node: ASTNode): readonly ASTNode[] {
  const args: unknown = node.args;
  return (Array.isArray(args) ? args.flat(2) : [args]).filter(isNode);
}

/** A node and everything below it. */
export function* nodesOf(node: ASTNode): Iterable<ASTNode> {
  yield node;
  for (const child of childrenOf(node)) yield* nodesOf(child);
}

function isNode(value: unknown): value is ASTNode {
  return typeof value === 'object' && value !== null && 'op' in value && 'args' in value;
}

/** Where a call's own name stands in the expression. */
export function nameRange({ node, name, receiver }: Call): { start: number; end: number } {
  const from = receiver === null ? node.range.start : receiver.range.end;
  const start = node.input.indexOf(name, from);
  return start === -1 ? node.range : { start, end: start + name.length };
}
