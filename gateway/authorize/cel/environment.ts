// The CEL environment of rules: typed variables, bounded expressions, three functions of ours.
import { Environment } from '@marcbachmann/cel-js';
import { RE2JS } from 're2js';
import { isNetwork, networkTest } from '../conditions/network.ts';
import { vocabularyWith } from './vocabulary.ts';

/** Answers `related(relation, object)` and `related(relation, object, subject)` for the request under evaluation. */
export type AskRelation = (relation: string, object: string, subject: string | null) => boolean;

/** For environments that only check expressions. */
const nobodyAsked: AskRelation = () => {
  throw new Error('nothing is evaluated here');
};

/**
 * Creates an environment; compiled patterns and networks are kept, which are as many as the policies write out.
 * `attributes` are the CEL types of `resource.attributes`, from the configuration.
 */
export function createCelEnvironment(
  attributes: Readonly<Record<string, string>> = {},
  askRelation: AskRelation = nobodyAsked,
): Environment {
  const environment = new Environment({
    limits: { maxAstNodes: 500, maxDepth: 32, maxListElements: 256, maxMapEntries: 64, maxCallArguments: 8 },
  });
  for (const [name, schema] of Object.entries(vocabularyWith(attributes)))
    environment.registerVariable({ name, schema });

  const patterns = new Map<string, RE2JS>();
  environment.registerFunction('string.rematch(string): bool', (text: string, pattern: string) => {
    const compiled = patterns.get(pattern) ?? RE2JS.compile(pattern);
    patterns.set(pattern, compiled);
    return compiled.matcher(text).find();
  });
  environment.registerFunction('related(string, string): bool', (relation: string, object: string) =>
    askRelation(relation, object, null),
  );
  environment.registerFunction('related(string, string, string): bool', askRelation);
  const networks = new Map<string, (address: string) => boolean>();
  environment.registerFunction('string.in_network(string): bool', (address: string, block: string) => {
    if (!isNetwork(block)) throw new Error('not a network');
    const isInside = networks.get(block) ?? networkTest([block]);
    networks.set(block, isInside);
    return isInside(address);
  });
  return environment;
}
