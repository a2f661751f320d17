// Compiles issuers.yaml into the Authentication of a snapshot. Opens nothing and reads nothing: that begins with start().
import { inPlaceTime } from '../in-place-time.ts';
import type { Principal } from '../principal.ts';
import { SecondSight } from '../second-sight.ts';
import type {
  AcceptedIssuerName,
  Authentication,
  AuthenticationDeps,
  IssuerStatus,
} from './authentication.ts';
import { createDirectoryClient } from './directory/directory-client.ts';
import { createGroupDirectory, type GroupDirectory } from './directory/group-directory.ts';
import { documentFetcher } from './fetch-document.ts';
import {
  checkIntrospection,
  compileIntrospection,
  type OpaqueCredentials,
} from './introspection/compile-introspection.ts';
import { invalidToken } from './invalid-token.ts';
import { issuerRules, requestedScopes } from './issuer-rules.ts';
import type { KeyIssuers } from './issuer-keys.ts';
import {
  checkIssuers,
  entraIssuerTemplate,
  issuerForms,
  type IssuerForm,
  type KeySource,
} from './issuer-url.ts';
import type { IssuerPolicy, IssuersPolicy } from './issuers-policy.ts';
import { KeySet, type KeySetOptions } from './key-set.ts';
import { KnownSignatures } from './known-signatures.ts';
import { lastGoodKeys } from './last-good-keys.ts';
import { VerificationQueue } from './verification-queue.ts';
import { VerifiedTokens } from './verified-tokens.ts';
import { verifyAccessToken, type AcceptedIssuer } from './verify-access-token.ts';

/** Metadata and keys together have to arrive in this time; below 5 s, so that a waiting caller is answered by then. */
const fetchTimeoutMs = 4_500;

/** Several times as many as principals can be kept; those in use are not pushed out (kept-in-use.ts). */
const rememberedSights = 16_384;

/** A key set with the settings that it was made from. */
interface NamedKeySet {
  readonly settings: string;
  readonly keySet: KeySet;
}

/** A directory with the settings that it was made from. */
interface NamedDirectory {
  readonly settings: string;
  readonly directory: GroupDirectory;
}

/**
 * Compiles the policy. Key sets of `deps.previous` live on where their settings are the same.
 * Checks: what checkIssuers finds. Does not check: that an issuer can be reached (status says so later).
 * @throws Error whose message begins with the key path of the fault
 */
export function compileIssuers(policy: IssuersPolicy, deps: AuthenticationDeps): Authentication {
  const embeddedIssuer = deps.embeddedIssuer ?? null;
  const [fault] = [...checkIssuers(policy, embeddedIssuer), ...checkIntrospection(policy)];
  if (fault !== undefined) throw new Error(`${fault.path.join('.')}: ${fault.message}`);
  const previous =
    deps.previous instanceof CompiledAuthentication ? deps.previous.keySets : new Map<string, NamedKeySet>();
  // An entry that was renamed goes on with the keys of its documents.
  const previousOf = (key: string, { source }: IssuerForm): NamedKeySet | undefined =>
    previous.get(key) ?? [...previous.values()].find(({ keySet }) => keySet.issuer === source.issuer);
  const optionsOf = keySetOptions(deps);
  const keySets = new Map<string, NamedKeySet>();
  const accepted = new Map<string, AcceptedIssuer>();
  const entries = Object.entries(policy.issuers);
  const directories = new Map<string, NamedDirectory>();
  const previousDirectories =
    deps.previous instanceof CompiledAuthentication ? deps.previous.directories : directories;
  for (const [name, entry] of entries) {
    const directory = namedDirectory(name, entry, { previous: previousDirectories.get(name), deps });
    if (directory !== null) directories.set(name, directory);
    for (const form of issuerForms(entry, embeddedIssuer)) {
      const key = keySetName(name, entry, form);
      const named = keySets.get(key) ?? namedKeySet(previousOf(key, form), optionsOf(entry, form.source));
      keySets.set(key, named);
      accepted.set(form.issuer, {
        rules: issuerRules(name, entry, form),
        keySet: named.keySet,
        directory: directory?.directory ?? null,
      });
    }
  }
  const scopes = new Set(entries.flatMap(([, entry]) => requestedScopes(entry)));
  return new CompiledAuthentication(
    {
      accepted,
      keySets,
      directories,
      scopesSupported: [...scopes],
      opaque: compileIntrospection(policy, deps),
    },
    deps,
  );
}

// One issuer has one set of keys; entries that share Entra's documents each have their own, for their own tenants.
function keySetName(name: string, entry: IssuerPolicy, { source }: IssuerForm): string {
  return entry.entra?.isMultiTenant === true ? `${source.issuer} ${name}` : source.issuer;
}

type OptionsOf = (entry: IssuerPolicy, source: KeySource) => KeySetOptions;

function keySetOptions(deps: AuthenticationDeps): OptionsOf {
  const fetchDocument = documentFetcher(deps.issuerCa);
  const { dataDir = null, log, now = Date.now, monotonic = () => performance.now() } = deps;
  return (entry, form) => ({
    form,
    requirements: { algorithms: entry.algorithms, keyIssuers: keyIssuersOf(entry) },
    maxAgeMs: entry.jwks.max_age,
    cooldownMs: entry.jwks.cooldown,
    refreshMs: entry.jwks.refresh,
    timeoutMs: fetchTimeoutMs,
    allowsPlainHttp: entry.insecure_plain_http,
    fetchDocument,
    lastGood: dataDir === null ? null : lastGoodKeys(dataDir, form.issuer, form.jwksUrl ?? form.metadataUrl),
    log,
    now,
    monotonic,
  });
}

// Entra's keys name the v2.0 form of their issuer, also in the v1.0 document.
function keyIssuersOf({ entra }: IssuerPolicy): KeyIssuers | null {
  if (entra === undefined) return null;
  const versions = new Set([...entra.versions, '2.0' as const]);
  return {
    tenants: entra.tenants,
    templates: [...versions].map((version) => entraIssuerTemplate(entra, version)),
  };
}

interface DirectorySurroundings {
  readonly previous: NamedDirectory | undefined;
  readonly deps: AuthenticationDeps;
}

/** The directory of an entry; what it was asked before outlives a reload that leaves its settings alone. */
function namedDirectory(
  name: string,
  { entra }: IssuerPolicy,
  { previous, deps }: DirectorySurroundings,
): NamedDirectory | null {
  if (entra?.directory === undefined) return null;
  const { directory: asked, authority, directoryEndpoint: endpoint } = entra;
  const settings = JSON.stringify([asked, authority, endpoint]);
  if (previous?.settings === settings) return previous;
  const { log, now = Date.now, issuerCa } = deps;
  const ask = createDirectoryClient({
    endpoint,
    authority,
    clientId: asked.client_id,
    clientSecret: asked.client_secret,
    timeoutMs: asked.timeout,
    issuerCa,
    now,
  });
  const options = { ask, cacheMs: asked.cache, timeoutMs: asked.timeout, name, log, now };
  return { settings, directory: createGroupDirectory(options) };
}

function namedKeySet(previous: NamedKeySet | undefined, options: KeySetOptions): NamedKeySet {
  const { form, requirements, maxAgeMs, cooldownMs, refreshMs, allowsPlainHttp } = options;
  const settings = JSON.stringify([form, requirements, maxAgeMs, cooldownMs, refreshMs, allowsPlainHttp]);
  if (previous?.settings === settings) return previous;
  const keySet = new KeySet(options);
  if (previous !== undefined) keySet.inherit(previous.keySet);
  return { settings, keySet };
}

interface CompiledParts {
  readonly accepted: ReadonlyMap<string, AcceptedIssuer>;
  readonly keySets: ReadonlyMap<string, NamedKeySet>;
  readonly directories: ReadonlyMap<string, NamedDirectory>;
  readonly scopesSupported: readonly string[];
  readonly opaque: OpaqueCredentials | null;
}

class CompiledAuthentication implements Authentication {
  readonly issuers: readonly string[];
  readonly accepted: readonly AcceptedIssuerName[];
  readonly scopesSupported: readonly string[];
  /** By `iss`; the next Authentication takes over what it can use. */
  readonly keySets: ReadonlyMap<string, NamedKeySet>;
  /** By the name of the entry; taken over likewise. */
  readonly directories: ReadonlyMap<string, NamedDirectory>;
  /** Likewise. */
  readonly signatures: KnownSignatures;
  readonly lately: SecondSight;
  readonly #accepted: ReadonlyMap<string, AcceptedIssuer>;
  readonly #verified: VerifiedTokens;
  readonly #opaque: OpaqueCredentials | null;
  #isStarted = false;

  constructor(
    { accepted, keySets, directories, scopesSupported, opaque }: CompiledParts,
    { now = Date.now, inPlace = inPlaceTime, revocations, previous, lately }: AuthenticationDeps,
  ) {
    this.#accepted = accepted;
    this.keySets = keySets;
    this.directories = directories;
    this.issuers = [...accepted.keys()];
    this.accepted = [...accepted.values()].map(({ rules }) => ({
      name: rules.name,
      issuer: rules.issuer,
      tenantId: rules.entra?.tenantId ?? null,
      credentialsMayLast: opaque?.byName.has(rules.name) === true,
    }));
    this.scopesSupported = scopesSupported;
    this.#opaque = opaque;
    // What is known of signatures does not depend on the policies: a reload checks none a second time.
    this.signatures =
      previous instanceof CompiledAuthentication ? previous.signatures : new KnownSignatures();
    const seen = previous instanceof CompiledAuthentication ? previous.lately : null;
    this.lately = lately ?? seen ?? new SecondSight(rememberedSights);
    const verification = {
      issuers: accepted,
      signatures: this.signatures,
      lately: this.lately,
      inPlace,
      queue: new VerificationQueue(),
      now,
    };
    this.#verified = new VerifiedTokens(
      (accessToken, digest, hasRoom) => verifyAccessToken(accessToken, digest, verification, hasRoom),
      now,
      revocations === undefined ? {} : { revocations },
    );
  }

  seen(accessToken: string, digest?: string): Principal | null {
    // A credential that its issuer is asked about has an answer of its own.
    if (
      this.#opaque !== null &&
      (this.#opaque.confirming !== null || this.#opaque.introspectorFor(accessToken) !== null)
    )
      return null;
    return this.#verified.seen(accessToken, digest);
  }

  verify(accessToken: string): Principal | Promise<Principal> {
    const introspector = this.#opaque?.introspectorFor(accessToken);
    if (introspector != null) return introspector.principalOf(accessToken);
    const principal = this.#verified.principalOf(accessToken);
    const confirming = this.#opaque?.confirming;
    if (confirming == null) return principal;
    const confirm = (verified: Principal): Principal | Promise<Principal> =>
      confirmed(verified, accessToken, confirming);
    return principal instanceof Promise ? principal.then(confirm) : confirm(principal);
  }

  status(): readonly IssuerStatus[] {
    // Tenants that share their keys stand and fall together.
    const sets = new Map([...this.#accepted.values()].map(({ rules, keySet }) => [keySet, rules.name]));
    return [...sets].map(([keySet, name]) => ({
      name,
      issuer: keySet.issuer,
      metadataUrl: keySet.metadataUrl,
      ready: keySet.isUsable,
      problem: keySet.problem,
      ...introspectionProblem(this.#opaque, name),
      keyCount: keySet.keyCount,
      keysFetchedAt: keySet.fetchedAt,
    }));
  }

  async start(): Promise<void> {
    if (this.#isStarted) return;
    this.#isStarted = true;
    await Promise.all(this.#eachKeySet((keySet) => keySet.start()));
  }

  async refresh(): Promise<void> {
    await Promise.all(this.#eachKeySet((keySet) => keySet.refresh()));
  }

  close(): void {
    if (!this.#isStarted) return;
    this.#isStarted = false;
    this.#eachKeySet((keySet) => keySet.close());
  }

  #eachKeySet<T>(act: (keySet: KeySet) => T): T[] {
    return [...this.keySets.values()].map(({ keySet }) => act(keySet));
  }
}

function introspectionProblem(
  opaque: OpaqueCredentials | null,
  name: string,
): Pick<IssuerStatus, 'introspectionProblem'> {
  const introspector = opaque?.byName.get(name);
  return introspector === undefined ? {} : { introspectionProblem: introspector.problem };
}

/** The issuer of a JWT is asked about it too, where its entry says so, and must speak of the same principal. */
function confirmed(
  principal: Principal,
  accessToken: string,
  confirming: NonNullable<OpaqueCredentials['confirming']>,
): Principal | Promise<Principal> {
  const asked = confirming.get(principal.issuer)?.principalOf(accessToken);
  const agreed = ({ key }: Principal): Principal => {
    if (key !== principal.key) throw invalidToken('sub');
    return principal;
  };
  if (asked === undefined) return principal;
  return asked instanceof Promise ? asked.then(agreed) : agreed(asked);
}
