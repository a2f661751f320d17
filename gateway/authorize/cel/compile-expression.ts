// Compiles expressions to tests of facts. Only the variables that an expression names are read, and what concerns the
// principal is read once for all of its requests.
import type { ASTNode } from '@marcbachmann/cel-js';
import type { Principal } from '../../principal.ts';
import { attributeTypes, celAttributes, type ModelAttributes } from '../../model-attributes.ts';
import type { Test } from '../conditions/condition.ts';
import { createCelEnvironment } from './environment.ts';
import { principalValues, requestValues, type Members } from './request-values.ts';
import { nodesOf } from './syntax-tree.ts';
import { isVariable, type VariableName } from './vocabulary.ts';

/** Members of `resource.attributes` for a request that is about no model. */
const noAttributes = {};

/**
 * Creates the compiler of one bundle's expressions over models with these attributes.
 * Does not check expressions: cel/check-expression.ts has, when the policies were read.
 */
export function createExpressionCompiler(
  modelAttributes: ReadonlyMap<string, ModelAttributes> = new Map(),
): (expression: string) => Test {
  const types = attributeTypes(modelAttributes.values());
  const environment = createCelEnvironment(types);
  const attributes = new Map(
    [...modelAttributes].map(([model, given]) => [model, celAttributes(given, types)]),
  );
  const principals = new WeakMap<Principal, Members<'principal'>>();
  return (expression) => {
    const evaluate = environment.parse(expression);
    const named = variablesOf(evaluate.ast);
    return (facts) => {
      const values: Partial<Record<VariableName, unknown>> = {};
      for (const name of named) {
        if (name === 'resource') {
          const known = facts.model === null ? undefined : attributes.get(facts.model);
          values.resource = { ...requestValues.resource(facts), attributes: known ?? noAttributes };
          continue;
        }
        if (name !== 'principal') {
          values[name] = requestValues[name](facts);
          continue;
        }
        const known = principals.get(facts.principal) ?? principalValues(facts);
        principals.set(facts.principal, known);
        values.principal = known;
      }
      const answer: unknown = evaluate(values);
      if (typeof answer !== 'boolean') throw new TypeError('the expression did not yield bool');
      return answer;
    };
  };
}

function variablesOf(tree: ASTNode): readonly VariableName[] {
  const names = [...nodesOf(tree)].flatMap((node) => (node.op === 'id' ? [node.args] : []));
  return [...new Set(names)].filter(isVariable);
}
