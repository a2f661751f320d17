// Finds and reads the test files of a policy directory, and checks that they ask about things that exist.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { readYamlFile, type Finding, type YamlFile } from '../../../core/yaml-file.ts';
import { compileModel } from '../../authorize/relations/model.ts';
import { parseTuple } from '../../authorize/relations/names.ts';
import { objectionTo } from '../../authorize/relations/tuple-index.ts';
import type { Bundle } from '../bundle.ts';
import { unknownName } from '../unknown-name.ts';
import { policyTestsSchema, type PolicyTest } from './test-schema.ts';

export type TestFile = YamlFile<PolicyTest[]>;

/** Paths of the test files, in the order of their names; none when there is no folder `tests`. */
export function testFilesOf(directory: string): string[] {
  const folder = join(directory, 'tests');
  try {
    return readdirSync(folder)
      .filter((name) => /^[^.].*\.ya?ml$/.test(name))
      .toSorted()
      .map((name) => join(folder, name));
  } catch {
    return [];
  }
}

/** Reads one file. @throws ConfigurationError with every finding of the file */
export function readTestFile(path: string): TestFile {
  return readYamlFile(path, policyTestsSchema);
}

/** Names in a test file that neither bundle nor configuration know: such a test would pass or fail for a wrong reason. */
export function referenceFindings(file: TestFile, { bundle }: { readonly bundle: Bundle }): Finding[] {
  const routes = Object.entries(bundle.routes.routes);
  const actions = [...new Set(routes.map(([, route]) => route.action))];
  const issuers = Object.keys(bundle.issuers.issuers);
  const deciders = decidersOf(bundle);
  const model = compileModel(bundle.relations.types);
  return file.value.flatMap((test, index) => {
    const found: Finding[] = [];
    const know = (
      path: readonly PropertyKey[],
      name: string,
      what: string,
      known: readonly string[],
    ): void => {
      if (!known.includes(name)) found.push(unknownName(file, [index, ...path], { name, what, known }));
    };
    know(['do'], test.do, 'route with the action', actions);
    if (test.route !== undefined) {
      const fitting = routes.flatMap(([name, route]) => (route.action === test.do ? [name] : []));
      know(['route'], test.route, `route with the action ${test.do}`, fitting);
    }
    for (const [at, text] of (test.relations ?? []).entries()) {
      const objection = objectionTo(parseTuple(text), model);
      if (objection !== null) found.push(file.finding([index, 'relations', at], objection.message));
    }
    found.push(...obligationFindings(test, index, { file, bundle }));
    if (test.by !== undefined) know(['by'], test.by, 'role or rule', deciders);
    if (test.as === 'nobody') return found;
    for (const kind of ['entra-v1', 'entra-v2', 'app-only'] as const) {
      const issuer = test.as[kind]?.issuer;
      if (issuer !== undefined) know(['as', kind, 'issuer'], issuer, 'issuer', issuers);
    }
    if (test.as.issuer !== undefined) know(['as', 'issuer'], test.as.issuer, 'issuer', issuers);
    const isEntra = test.as['entra-v1'] !== undefined || test.as['entra-v2'] !== undefined;
    if (isEntra && !Object.values(bundle.issuers.issuers).some((entry) => entry.entra !== undefined))
      found.push(file.finding([index, 'as'], 'no issuer in issuers.yaml is an Entra tenant'));
    return found;
  });
}

/** Limits and guards that a test expects, and nobody knows. */
function obligationFindings(
  { expect_obligations: expected }: PolicyTest,
  index: number,
  { file, bundle }: { readonly file: TestFile; readonly bundle: Bundle },
): Finding[] {
  if (expected === undefined || expected === 'none') return [];
  const unknown = (member: 'limits' | 'guards', known: readonly string[]): Finding[] =>
    (expected[member] ?? []).flatMap((name, at) => {
      const what = member.slice(0, -1);
      const path = [index, 'expect_obligations', member, at];
      return known.includes(name) ? [] : [unknownName(file, path, { name, what, known })];
    });
  return [
    ...unknown('limits', Object.keys(bundle.limits.limits)),
    ...unknown('guards', Object.keys(bundle.guards.guards)),
  ];
}

/** What can decide: every role, every rule, and `anonymous` for open routes. */
export function decidersOf(bundle: Bundle): string[] {
  return [
    'anonymous',
    ...Object.keys(bundle.roles.roles).map((name) => `roles.${name}`),
    ...bundle.rules.rules.map((rule) => `rules.${rule.name}`),
  ];
}
