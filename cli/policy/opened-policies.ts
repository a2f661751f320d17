// Opens a policy directory for the offline commands: the bundle, what the configuration says around it, and where in the
// files each part of it stands. Opens no socket and changes nothing.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { ConfigurationError, readYamlFile, wholeFile, type YamlFile } from '../../core/yaml-file.ts';
import { loadBundle, type Bundle, type PolicyFileName } from '../../gateway/policies/bundle.ts';
import { policyContext, type PolicyContext } from '../../gateway/policies/context.ts';
import { loadConfiguration } from '../compose.ts';

/** The schema of rules.yaml has judged the file already; this one only keeps what it says. */
const rulesAsWritten = z.object({ rules: z.array(z.record(z.string(), z.unknown())).default([]) });

/** Flags that every `policy` command has. */
export interface PolicyOptions {
  readonly config: string;
  readonly json?: boolean;
}

/** A good bundle with its surroundings. */
export interface OpenedPolicies {
  readonly directory: string;
  readonly bundle: Bundle;
  readonly context: PolicyContext;
  /** Folder of the audit log that the configured gateway writes. */
  readonly auditFolder: string;
  /** Folder of the decisions that it records. */
  readonly decisionFolder: string;
  /** `policies/roles.yaml:2`: where a key or list entry stands. */
  readonly placeOf: (file: PolicyFileName, path: readonly PropertyKey[]) => string;
  /** The parsed file, for findings at a key. */
  readonly fileOf: (file: PolicyFileName) => YamlFile<unknown>;
  /** The rules as they are written, before durations and times became numbers; in their order. */
  readonly writtenRules: () => readonly Readonly<Record<string, unknown>>[];
}

/** Where the policies are and what surrounds them; reads the configuration only. @throws ConfigurationError */
export function locatePolicies(
  directory: string | undefined,
  options: Pick<PolicyOptions, 'config'>,
): {
  readonly directory: string;
  readonly context: PolicyContext;
  readonly auditFolder: string;
  readonly decisionFolder: string;
} {
  const { gateway, file } = loadConfiguration({ configFile: options.config, env: process.env });
  if (gateway === undefined) {
    const message = 'the gateway section is missing: policies refer to its upstreams and models';
    throw new ConfigurationError([wholeFile(file, 'missing_key', message)]);
  }
  return {
    directory: directory ?? gateway.policies,
    context: policyContext(gateway),
    auditFolder: join(gateway.data, 'audit'),
    decisionFolder: join(gateway.data, 'decisions'),
  };
}

/** Opens a bundle. @throws ConfigurationError with every finding of configuration or bundle */
export function openPolicies(
  directory: string | undefined,
  options: Pick<PolicyOptions, 'config'>,
): OpenedPolicies {
  const located = locatePolicies(directory, options);
  return loadOpened(located.directory, located);
}

/** Loads a bundle with the places in its files. @throws ConfigurationError with every finding of the bundle */
export function loadOpened(
  directory: string,
  located: Pick<OpenedPolicies, 'context' | 'auditFolder' | 'decisionFolder'>,
): OpenedPolicies {
  const parsed = new Map<PolicyFileName, YamlFile<unknown>>();
  const bundle = loadBundle(directory, located.context, (files) => {
    for (const [name, file] of Object.entries(files))
      parsed.set(`${name}.yaml` as PolicyFileName, file as YamlFile<unknown>); // Their names, without `.yaml`.
  });
  const fileOf = (name: PolicyFileName): YamlFile<unknown> => {
    const file = parsed.get(name);
    if (file === undefined) throw new Error(`${name} is no file of a bundle`);
    return file;
  };
  const { context, auditFolder, decisionFolder } = located;
  const opened = { directory, bundle, context, auditFolder, decisionFolder };
  let written: readonly Readonly<Record<string, unknown>>[] | undefined;
  return {
    ...opened,
    fileOf,
    writtenRules() {
      const path = join(opened.directory, 'rules.yaml');
      written ??= existsSync(path) ? readYamlFile(path, rulesAsWritten).value.rules : [];
      return written;
    },
    placeOf(name, path) {
      const { file, line } = fileOf(name).finding(path, '');
      return `${file}:${line}`;
    },
  };
}
