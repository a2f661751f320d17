// Compiles expressions to tests of facts. Only the variables that an expression names are read, and what concerns the
// principal is read once for all of its requests.
import type { ASTNode } from '@marcbachmann/cel-js';
import { PrincipalMemo } from '../../principal-memo.ts';
import { attributeTypes, celAttributes, type ModelAttributes } from '../../model-attributes.ts';
import type { RuleFacts, Test } from '../conditions/condition.ts';
import { createCelEnvironment } from './environment.ts';
import { principalValues, requestValues, shownHeaders, type Members } from './request-values.ts';
import { callOf, nodesOf } from './syntax-tree.ts';
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
  // Whose request is under evaluation: functions of CEL see their operands only. Nothing is evaluated twice at a time.
  let asking: RuleFacts | null = null;
  const types = attributeTypes(modelAttributes.values());
  const environment = createCelEnvironment(types, (relation, object, subject) => {
    if (asking === null) throw new Error('nobody asks');
    return asking.relations.related(asking, { relation, object, subject });
  });
  const attributes = new Map(
    [...modelAttributes].map(([model, given]) => [model, celAttributes(given, types)]),
  );
  const principals = new PrincipalMemo<Members<'principal'>>();
  return (expression) => {
    const evaluate = environment.parse(expression);
    const named = variablesOf(evaluate.ast);
    const seesHeaders = expression.includes('headers');
    const test: Test = (facts) => {
      const values: Partial<Record<VariableName, unknown>> = {};
      for (const name of named) {
        if (name === 'resource') {
          const known = facts.model === null ? undefined : attributes.get(facts.model);
          values.resource = { ...requestValues.resource(facts), attributes: known ?? noAttributes };
          continue;
        }
        if (name === 'request' && seesHeaders) {
          const headers = shownHeaders(facts.request.context.headers);
          values.request = { ...requestValues.request(facts), headers };
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
    if (!asksRelations(evaluate.ast)) return test;
    return (facts) => {
      asking = facts;
      try {
        return test(facts);
      } finally {
        asking = null;
      }
    };
  };
}

const asksRelations = (tree: ASTNode): boolean =>
  [...nodesOf(tree)].some((node) => callOf(node)?.name === 'related');

function variablesOf(tree: ASTNode): readonly VariableName[] {
  const names = [...nodesOf(tree)].flatMap((node) => (node.op === 'id' ? [node.args] : []));
  return [...new Set(names)].filter(isVariable);
}
