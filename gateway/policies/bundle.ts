// Reads a policy directory as a whole: its YAML files are one bundle with one digest. Nothing of a bundle is used unless
// all of it is good; every fault of every file is reported in one run. No side effects beyond reading.
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import type { z } from 'zod';
import {
  ConfigurationError,
  decodeYaml,
  nearest,
  parseYaml,
  readFileOrFinding,
  wholeFile,
  type Finding,
  type YamlFile,
} from '../../core/yaml-file.ts';
import { accessSchema, type AccessPolicy } from '../access/access-policy.ts';
import { issuersSchema, type IssuersPolicy } from '../authenticate/issuers-policy.ts';
import { relationsSchema, type RelationsPolicy } from '../authorize/relations/index.ts';
import { rolesSchema, type RolesPolicy } from '../authorize/roles-policy.ts';
import { rulesSchema, type RulesPolicy } from '../authorize/rules-policy.ts';
import { guardsSchema, type GuardsPolicy } from '../guard/guards-policy.ts';
import { limitsSchema, type LimitsPolicy } from '../limit/limits-policy.ts';
import type { PolicyContext } from './context.ts';
import { checkReferences } from './references.ts';
import { routesSchema, type RoutesPolicy } from './routes.ts';

/** Files of a bundle with their schemas, in the order in which findings are shown. */
export const policyFiles = {
  'issuers.yaml': issuersSchema,
  'roles.yaml': rolesSchema,
  'rules.yaml': rulesSchema,
  'access.yaml': accessSchema,
  'relations.yaml': relationsSchema,
  'limits.yaml': limitsSchema,
  'guards.yaml': guardsSchema,
  'routes.yaml': routesSchema,
} as const;
/** Name of one of them. */
export type PolicyFileName = keyof typeof policyFiles;
/** Files that a bundle may go without, and what then stands for them. */
const optionalFiles: Partial<Record<PolicyFileName, string>> = {
  'rules.yaml': 'rules: []\n',
  'access.yaml': '{}\n',
  'relations.yaml': 'types: {}\n',
};
const fileNames = Object.keys(policyFiles) as PolicyFileName[]; // Keys of the constant above.

/** The parsed files, traceable to lines. */
export interface PolicyFiles {
  readonly issuers: YamlFile<IssuersPolicy>;
  readonly roles: YamlFile<RolesPolicy>;
  readonly rules: YamlFile<RulesPolicy>;
  readonly access: YamlFile<AccessPolicy>;
  readonly relations: YamlFile<RelationsPolicy>;
  readonly limits: YamlFile<LimitsPolicy>;
  readonly guards: YamlFile<GuardsPolicy>;
  readonly routes: YamlFile<RoutesPolicy>;
}

/** Lines of what decisions name. */
export interface PolicyLines {
  readonly roles: ReadonlyMap<string, number>;
  /** In the order of the file. */
  readonly rules: readonly number[];
}

/** A policy directory that was found good. */
export interface Bundle {
  readonly directory: string;
  /** SHA-256 over names and bytes of all files, hex. */
  readonly digest: string;
  /** SHA-256 of each file, hex, by name. */
  readonly fileDigests: ReadonlyMap<string, string>;
  readonly issuers: IssuersPolicy;
  readonly roles: RolesPolicy;
  readonly rules: RulesPolicy;
  readonly access: AccessPolicy;
  readonly relations: RelationsPolicy;
  readonly limits: LimitsPolicy;
  readonly guards: GuardsPolicy;
  readonly routes: RoutesPolicy;
  /** Where roles and rules are written, for the reasons of decisions. */
  readonly lines: PolicyLines;
  /** What is odd but harmless, such as a role that lists a model nobody serves. */
  readonly warnings: readonly Finding[];
}

/**
 * Reads and validates a policy directory.
 * Checks: each file alone (core/yaml-file.ts and its schema), that there are no other YAML files, every reference between
 * files and towards the configuration (references.ts).
 * Does not check: that issuers and upstreams can be reached (/readyz shows that).
 * `onRead` gets the parsed files of a good bundle, for tools that name lines.
 * @throws ConfigurationError with every finding of every file.
 */
export function loadBundle(
  directory: string,
  context: PolicyContext,
  onRead?: (files: PolicyFiles) => void,
): Bundle {
  const folder = resolveFolder(directory);
  const findings: Finding[] = unknownFiles(folder, directory);
  const sources = new Map<PolicyFileName, Buffer>();
  const collect = <T>(read: () => T): T | undefined => {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof ConfigurationError)) throw error;
      findings.push(...error.findings);
      return undefined;
    }
  };
  const read = <Schema extends z.ZodType>(
    name: PolicyFileName,
    schema: Schema,
  ): YamlFile<z.output<Schema>> | undefined =>
    collect(() => {
      const shownAs = join(directory, name);
      const substitute = optionalFiles[name];
      if (substitute !== undefined && !existsSync(join(folder, name)))
        return parseYaml(substitute, schema, shownAs);
      const bytes = readFileOrFinding(join(folder, name), shownAs);
      sources.set(name, bytes);
      return parseYaml(decodeYaml(bytes, shownAs), schema, shownAs);
    });
  const files = {
    issuers: read('issuers.yaml', issuersSchema),
    roles: read('roles.yaml', rolesSchema),
    rules: read('rules.yaml', rulesSchema),
    access: read('access.yaml', accessSchema),
    relations: read('relations.yaml', relationsSchema),
    limits: read('limits.yaml', limitsSchema),
    guards: read('guards.yaml', guardsSchema),
    routes: read('routes.yaml', routesSchema),
  };
  // References are checked between the files that are good by themselves, so that one fault does not hide the others.
  const references = checkReferences(files, context);
  findings.push(...references.faults);
  if (findings.length > 0 || !isComplete(files)) throw new ConfigurationError(findings);
  onRead?.(files);
  return {
    directory,
    ...digestsOf(sources),
    issuers: files.issuers.value,
    roles: files.roles.value,
    rules: files.rules.value,
    access: files.access.value,
    relations: files.relations.value,
    limits: files.limits.value,
    guards: files.guards.value,
    routes: files.routes.value,
    lines: linesOf(files),
    warnings: references.warnings,
  };
}

function linesOf({ roles, rules }: PolicyFiles): PolicyLines {
  return {
    roles: new Map(
      Object.keys(roles.value.roles).map((name) => [name, roles.finding(['roles', name], '').line]),
    ),
    rules: rules.value.rules.map((_, index) => rules.finding(['rules', index], '').line),
  };
}

function isComplete(files: {
  [Name in keyof PolicyFiles]: PolicyFiles[Name] | undefined;
}): files is PolicyFiles {
  return Object.values(files).every((file) => file !== undefined);
}

/**
 * Where the files are read from: symbolic links are followed once, so that a swap in mid-read cannot mix two bundles.
 * Kubernetes mounts a ConfigMap as links through `..data`, which it swaps in one step.
 */
function resolveFolder(directory: string): string {
  for (const candidate of [join(directory, '..data'), directory]) {
    try {
      return realpathSync(candidate);
    } catch {
      // Not a mounted ConfigMap, or not there at all: each file is reported as missing below.
    }
  }
  return directory;
}

function unknownFiles(folder: string, directory: string): Finding[] {
  let entries: string[];
  try {
    entries = readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
      entry.isDirectory() ? [] : [entry.name],
    );
  } catch {
    return [];
  }
  return entries
    .filter((name) => /^[^.].*\.ya?ml$/i.test(name) && !Object.hasOwn(policyFiles, name))
    .toSorted()
    .map((name) => {
      const suggestion = nearest(name, fileNames);
      const message = `a policy directory holds ${fileNames.join(', ')} and no other YAML file`;
      return {
        ...wholeFile(join(directory, name), 'unknown_file', message),
        ...(suggestion === undefined ? {} : { suggestion }),
      };
    });
}

function digestsOf(sources: ReadonlyMap<string, Buffer>): Pick<Bundle, 'digest' | 'fileDigests'> {
  const whole = createHash('sha256');
  const fileDigests = new Map<string, string>();
  for (const name of [...sources.keys()].toSorted()) {
    const bytes = sources.get(name) ?? Buffer.alloc(0);
    // Name and length frame the bytes, so that no text can move from one file to the next unseen.
    whole.update(`${name}\0${bytes.length}\0`).update(bytes);
    fileDigests.set(name, createHash('sha256').update(bytes).digest('hex'));
  }
  return { digest: whole.digest('hex'), fileDigests };
}
