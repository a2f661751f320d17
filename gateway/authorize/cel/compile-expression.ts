// Compiles expressions to tests of facts.
import type { RuleFacts, Test } from '../conditions/condition.ts';
import { createCelEnvironment } from './environment.ts';
import { requestValues, type RequestValues } from './request-values.ts';

/**
 * Creates the compiler of one bundle's expressions; the values of a request are read once for all of them.
 * Does not check expressions: cel/check-expression.ts has, when the policies were read.
 */
export function createExpressionCompiler(): (expression: string) => Test {
  const environment = createCelEnvironment();
  const known = new WeakMap<RuleFacts, RequestValues>();
  return (expression) => {
    const evaluate = environment.parse(expression);
    return (facts) => {
      const values = known.get(facts) ?? requestValues(facts);
      known.set(facts, values);
      const answer: unknown = evaluate(values);
      if (typeof answer !== 'boolean') throw new TypeError('the expression did not yield bool');
      return answer;
    };
  };
}
