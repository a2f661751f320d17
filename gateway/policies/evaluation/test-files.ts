// Finds and reads the test files of a policy directory, and checks that they ask about things that exist.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { readYamlFile, type Finding, type YamlFile } from '../../../core/yaml-file.ts';
import { compileModel } from '../../authorize/relations/model.ts';
import { parseTuple } from '../../authorize/relations/names.ts';
import { objectionTo } from '../../authorize/relations/tuple-index.ts';
import type { Bundle } from '../bundle.ts';
import { unknownName, type UnknownName } from '../unknown-name.ts';
import { askFindings, type KnownName } from './ask-faults.ts';
import { policyTestsSchema, type PolicyTest, type RequestTest } from './test-schema.ts';

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
  const deciders = decidersOf(bundle);
  const model = compileModel(bundle.relations.types);
  return file.value.flatMap((test, index) => {
    const known = (path: readonly PropertyKey[], sought: UnknownName): Finding[] =>
      sought.known.includes(sought.name) ? [] : [unknownName(file, [index, ...path], sought)];
    const untrue = (test.relations ?? []).flatMap((text, at) => {
      const objection = objectionTo(parseTuple(text), model);
      return objection === null ? [] : [file.finding([index, 'relations', at], objection.message)];
    });
    return [
      ...('ask' in test
        ? askFindings(test.ask, {
            bundle,
            known,
            at: (path, message) => file.finding([index, ...path], message),
          })
        : requestFindings(test, index, { file, bundle, known })),
      ...untrue,
      ...obligationFindings(test, index, { file, bundle }),
      ...(test.by === undefined
        ? []
        : known(['by'], { name: test.by, what: 'role or rule', known: deciders })),
    ];
  });
}

interface RequestPlace {
  readonly file: TestFile;
  readonly bundle: Bundle;
  readonly known: KnownName;
}

/** Routes and issuers of a request that nobody knows. */
function requestFindings(test: RequestTest, index: number, { file, bundle, known }: RequestPlace): Finding[] {
  const routes = Object.entries(bundle.routes.routes);
  const actions = [...new Set(routes.map(([, route]) => route.action))];
  const fitting = routes.flatMap(([name, route]) => (route.action === test.do ? [name] : []));
  const found = [
    ...known(['do'], { name: test.do, what: 'route with the action', known: actions }),
    ...(test.route === undefined
      ? []
      : known(['route'], { name: test.route, what: `route with the action ${test.do}`, known: fitting })),
  ];
  const { as } = test;
  if (as === 'nobody') return found;
  const entries = Object.entries(bundle.issuers.issuers);
  const issuer = (path: readonly PropertyKey[], name: string | undefined): Finding[] =>
    name === undefined
      ? []
      : known(path, { name, what: 'issuer', known: entries.map(([issuerName]) => issuerName) });
  for (const kind of ['entra-v1', 'entra-v2', 'app-only'] as const)
    found.push(...issuer(['as', kind, 'issuer'], as[kind]?.issuer));
  found.push(...issuer(['as', 'issuer'], as.issuer));
  const isEntra = as['entra-v1'] !== undefined || as['entra-v2'] !== undefined;
  if (isEntra && !entries.some(([, entry]) => entry.entra !== undefined))
    found.push(file.finding([index, 'as'], 'no issuer in issuers.yaml is an Entra tenant'));
  return found;
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
