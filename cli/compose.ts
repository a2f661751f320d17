// The one file that knows all servers: reads config/sallyport.yaml, lays environment variables and flags over it, and
// makes the sections agree with one another (a gateway moved to another port takes its identity server along). Pure:
// reads one file, opens and writes nothing. Order: flags > environment > file > defaults.
import { z } from 'zod';
import { formatAddress, type ListenAddress } from '../core/address.ts';
import { ConfigurationError, nearest, readYamlFile, type Finding, type YamlFile } from '../core/yaml-file.ts';
import { gatewayConfigSchema, type GatewayConfig } from '../gateway/config.ts';
import { modelIdOf } from '../gateway/model-attributes.ts';
import { identityConfigSchema, type IdentityConfig } from '../identity/config.ts';
import { modelServerConfigSchema, type ModelServerConfig } from '../model-server/config.ts';
import { environmentOverrides, flagOverrides, setAt, type Override, type StartFlags } from './overrides.ts';

export type { StartFlags } from './overrides.ts';

/** Schema of the whole configuration file; a server whose section is missing is not started. */
export const configurationSchema = z.strictObject({
  /** The guarded door: the only server that callers reach. */
  gateway: gatewayConfigSchema.optional(),
  /** The embedded OpenID provider; not needed where another issuer's tokens are accepted. */
  identity: identityConfigSchema.optional(),
  /** Runs the models; only the gateway talks to it. */
  model_server: modelServerConfigSchema.optional(),
});
type Sections = z.output<typeof configurationSchema>;

/** Files of the local certificate authority that `--tls` uses, under the data folder. */
export interface LocalTlsFiles {
  readonly folder: string;
  readonly authority: string;
  readonly certificate: string;
  readonly key: string;
}

/** What the servers are started with. */
export interface Configuration {
  /** The configuration file, as the operator wrote it. */
  readonly file: string;
  /** Folder that holds everything written at run time. */
  readonly dataFolder: string;
  readonly gateway: GatewayConfig | undefined;
  readonly identity: IdentityConfig | undefined;
  readonly modelServer: ModelServerConfig | undefined;
  /** Set by `--tls`: certificates that a start makes when they are missing. */
  readonly localTls: LocalTlsFiles | undefined;
  /** Where a setting comes from: `config/sallyport.yaml:3`, an environment variable or a flag. */
  readonly placeOf: (keyPath: string) => string;
}

export interface ConfigurationSources {
  /** Default: `config/sallyport.yaml`. */
  readonly configFile?: string | undefined;
  readonly flags?: StartFlags;
  readonly env?: Readonly<Record<string, string | undefined>>;
}

export const defaultConfigFile = 'config/sallyport.yaml';
export const defaultDataFolder = 'data';

/**
 * Reads the configuration of all servers.
 * Checks: YAML, unknown keys, types and ranges of file, environment and flags.
 * Does not check: that secrets, certificates and models can be read (cli/supervisor/preflight.ts) or policies (the gateway).
 * @throws ConfigurationError with every finding.
 */
export function loadConfiguration(sources: ConfigurationSources = {}): Configuration {
  const path = sources.configFile ?? defaultConfigFile;
  const { env = {}, flags = {} } = sources;
  const raw = readYamlFile(path, z.record(z.string(), z.unknown()));
  const base = readYamlFile(path, configurationSchema).value;
  const overrides = [...environmentOverrides(env, raw.value), ...flagOverrides(flags, raw.value)];
  const merged = overrides.length === 0 ? base : parseMerged(raw, overrides);

  const overridden = new Map(overrides.map((override) => [override.path.join('.'), override]));
  const isSet = (keyPath: string): boolean => overridden.has(keyPath);
  const dataFolder = flags.dataFolder ?? defaultDataFolder;
  const localTls = flags.tls === true ? localTlsFiles(defaultDataFolder) : undefined;
  const agreed = rebased(
    agree({ base, merged, isSet, raw: raw.value, authority: localTls?.authority }),
    dataFolder,
  );
  return {
    file: path,
    dataFolder,
    gateway: agreed.gateway,
    identity: agreed.identity,
    modelServer: agreed.model_server,
    localTls: localTls === undefined ? undefined : localTlsFiles(dataFolder),
    placeOf: (keyPath) => placeOf(keyPath, overridden, raw),
  };
}

/** What callers type to reach the gateway, without a trailing slash. */
export function gatewayUrl(gateway: GatewayConfig): string {
  return (gateway.public_url ?? originOf(gateway)).replace(/\/+$/, '');
}

/** What browsers type to reach the identity server, without a trailing slash. */
export function identityUrl(identity: IdentityConfig): string {
  return identity.public_url ?? originOf(identity);
}

function originOf(section: { listen: ListenAddress; tls?: unknown }): string {
  if (section.listen.kind === 'unix') return formatAddress(section.listen);
  return `${section.tls === undefined ? 'http' : 'https'}://${formatAddress(section.listen)}`;
}

function localTlsFiles(dataFolder: string): LocalTlsFiles {
  const folder = `${dataFolder}/tls`;
  return {
    folder,
    authority: `${folder}/ca.pem`,
    certificate: `${folder}/server.pem`,
    key: `${folder}/server-key.pem`,
  };
}

/** Parses the file with overrides laid over it; a fault names the variable or flag that brought it. */
function parseMerged(raw: YamlFile<Record<string, unknown>>, overrides: readonly Override[]): Sections {
  const build = (asText: ReadonlySet<Override>): unknown =>
    overrides.reduce<unknown>(
      (value, override) => setAt(value, override.path, asText.has(override) ? override.text : override.value),
      raw.value,
    );
  const first = configurationSchema.safeParse(build(new Set()));
  if (first.success) return first.data;
  // A password such as 1234 is a number in YAML and text to its setting: what failed is tried as plain text.
  const failing = new Set(
    overrides.filter((override) => first.error.issues.some((issue) => isAt(issue.path, override))),
  );
  const second = configurationSchema.safeParse(build(failing));
  if (second.success) return second.data;
  throw new ConfigurationError(second.error.issues.flatMap((issue) => findingsOf(issue, overrides, raw)));
}

function isAt(path: readonly PropertyKey[], override: Override): boolean {
  return override.path.every((key, index) => path[index] === undefined || String(path[index]) === key);
}

function findingsOf(
  issue: z.core.$ZodIssue,
  overrides: readonly Override[],
  raw: YamlFile<unknown>,
): Finding[] {
  const paths =
    issue.code === 'unrecognized_keys' ? issue.keys.map((key) => [...issue.path, key]) : [issue.path];
  return paths.map((path) => {
    const override = overrides.find((candidate) => isAt(path, candidate));
    const unknown = issue.code === 'unrecognized_keys';
    const message = unknown ? `unknown key "${String(path.at(-1))}"` : issue.message;
    const found = raw.finding(path, message, { code: unknown ? 'unknown_key' : 'wrong_value' });
    if (override === undefined) return found;
    const suggestion = unknown ? nearest(String(path.at(-1)), keysAt(issue.path)) : undefined;
    return {
      ...found,
      file: override.source,
      line: 1,
      column: 1,
      ...(suggestion === undefined ? {} : { suggestion }),
    };
  });
}

/** Keys of a section, for the hint at a misspelt environment variable. */
function keysAt(path: readonly PropertyKey[]): string[] {
  const sections: Record<string, z.ZodType> = configurationSchema.shape;
  if (path.length === 0) return Object.keys(sections);
  const section = path.length === 1 ? sections[String(path[0])] : undefined;
  const object = section instanceof z.ZodOptional ? section.unwrap() : section;
  return object instanceof z.ZodObject ? Object.keys(object.shape) : [];
}

interface Agreement {
  /** The file alone: what its sections said of one another before anything was laid over them. */
  readonly base: Sections;
  readonly merged: Sections;
  readonly isSet: (keyPath: string) => boolean;
  readonly raw: Record<string, unknown>;
  /** Certificate authority that vouches for the identity server, when `--tls` makes one. */
  readonly authority: string | undefined;
}

/** What points at a neighbour in the same file follows that neighbour; what was set by hand elsewhere stays. */
function agree(agreement: Agreement): Sections {
  const { merged } = agreement;
  return {
    ...merged,
    ...(merged.gateway === undefined ? {} : { gateway: agreedGateway(agreement, merged.gateway) }),
    ...(merged.identity === undefined ? {} : { identity: agreedIdentity(agreement, merged.identity) }),
  };
}

function agreedGateway({ base, merged, isSet, authority }: Agreement, gateway: GatewayConfig): GatewayConfig {
  const { identity, model_server: modelServer } = merged;
  const upstreams = Object.entries(gateway.upstreams).map(([name, upstream]) => {
    const moved = { ...upstream };
    if (
      modelServer !== undefined &&
      base.model_server !== undefined &&
      upstream.url === originOf(base.model_server)
    ) {
      if (!isSet(`gateway.upstreams.${name}.url`)) moved.url = originOf(modelServer);
      if (!isSet(`gateway.upstreams.${name}.models`))
        // What the file states about a model stays with it.
        moved.models = Object.keys(modelServer.models).map(
          (id) => upstream.models.find((entry) => modelIdOf(entry) === id) ?? id,
        );
    }
    if (identity !== undefined && base.identity !== undefined && upstream.url === originOf(base.identity)) {
      if (!isSet(`gateway.upstreams.${name}.url`)) moved.url = originOf(identity);
      if (authority !== undefined) moved.ca = authority;
    }
    return [name, moved] as const;
  });
  const issuer = identity === undefined ? undefined : `${identityUrl(identity)}/${identity.tenant_id}/v2.0`;
  const follows =
    gateway.embedded_issuer === undefined ||
    (base.identity !== undefined && gateway.embedded_issuer.startsWith(`${identityUrl(base.identity)}/`));
  return {
    ...gateway,
    upstreams: Object.fromEntries(upstreams),
    ...(issuer !== undefined && follows && !isSet('gateway.embedded_issuer')
      ? { embedded_issuer: issuer }
      : {}),
    ...(authority === undefined ? {} : { issuer_ca: authority }),
    ...agreedEmbeddedIdentity({ base, merged, isSet, authority }, gateway),
  };
}

/** The address of the identity server follows that server, as upstreams do. */
function agreedEmbeddedIdentity(
  { base, merged, isSet, authority }: Pick<Agreement, 'base' | 'merged' | 'isSet' | 'authority'>,
  { embedded_identity: embedded }: GatewayConfig,
): Pick<GatewayConfig, 'embedded_identity'> {
  const isBeside = base.identity !== undefined && embedded?.url === originOf(base.identity);
  if (embedded === undefined || merged.identity === undefined || !isBeside) return {};
  const url = isSet('gateway.embedded_identity.url') ? embedded.url : originOf(merged.identity);
  return { embedded_identity: { ...embedded, url, ...(authority === undefined ? {} : { ca: authority }) } };
}

function agreedIdentity({ base, merged, isSet, raw }: Agreement, identity: IdentityConfig): IdentityConfig {
  if (merged.gateway === undefined || isSet('identity.gateway_url')) return identity;
  const section = raw['identity'];
  const byHand = typeof section === 'object' && section !== null && 'gateway_url' in section;
  const follows =
    !byHand || (base.gateway !== undefined && identity.gateway_url === gatewayUrl(base.gateway));
  return follows ? { ...identity, gateway_url: new URL(gatewayUrl(merged.gateway)).origin } : identity;
}

/** Moves every path under the default data folder to another one; the sections name nothing else that begins so. */
function rebased<T>(value: T, dataFolder: string): T {
  if (dataFolder === defaultDataFolder) return value;
  const move = (part: unknown): unknown => {
    if (typeof part === 'string')
      return part.replace(
        /^((?:unix|file):)?data\//,
        (_, prefix?: string) => `${prefix ?? ''}${dataFolder}/`,
      );
    if (Array.isArray(part)) return part.map(move);
    if (typeof part !== 'object' || part === null) return part;
    return Object.fromEntries(Object.entries(part).map(([key, child]) => [key, move(child)]));
  };
  return move(value) as T; // The walk keeps the shape and changes only strings.
}

function placeOf(keyPath: string, overridden: ReadonlyMap<string, Override>, raw: YamlFile<unknown>): string {
  for (let path = keyPath; path !== ''; path = path.slice(0, Math.max(0, path.lastIndexOf('.')))) {
    const override = overridden.get(path);
    if (override !== undefined) return override.source;
  }
  return `${raw.file}:${raw.finding(keyPath.split('.'), '').line}`;
}
