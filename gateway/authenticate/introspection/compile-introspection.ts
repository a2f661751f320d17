// Which credential is looked up at which issuer. A JWT is never sent anywhere because of its shape: only a listed prefix,
// or an entry that says `also_jwt`, sends one.
import { keptConnections } from '../../kept-connections.ts';
import type { AuthenticationDeps } from '../authentication.ts';
import { documentFetcher, issuerConnectMs } from '../fetch-document.ts';
import { issuerRules } from '../issuer-rules.ts';
import { issuerForms, type IssuerFault } from '../issuer-url.ts';
import type { IssuerPolicy, IssuersPolicy } from '../issuers-policy.ts';
import { foreignIntrospection } from './introspection-endpoint.ts';
import type { IntrospectionPolicy } from './introspection-policy.ts';
import { Introspector, type IntrospectorOptions } from './introspector.ts';
import { judgeIntrospection } from './judge-introspection.ts';

/** While revocations do not arrive, an answer is used for so long at most. */
const maxAgeWithoutFeedMs = 500;
const mostConnections = 64;

/** Issuers that are asked about credentials. */
export interface OpaqueCredentials {
  /** The one that is asked about a credential, or null when it is for nobody but the keys. */
  introspectorFor(credential: string): Introspector | null;
  /** By `iss`: who is asked about access tokens that are JWTs too; null when nobody is. */
  readonly confirming: ReadonlyMap<string, Introspector> | null;
  /** By the name of the entry. */
  readonly byName: ReadonlyMap<string, Introspector>;
}

/** Compiles what the entries say; null when none of them introspects. */
export function compileIntrospection(
  policy: IssuersPolicy,
  deps: AuthenticationDeps,
): OpaqueCredentials | null {
  const askers = askersOf(deps);
  const byName = new Map<string, Introspector>();
  const confirming = new Map<string, Introspector>();
  const byPrefix: { prefix: string; introspector: Introspector }[] = [];
  let others: Introspector | null = null;
  for (const [name, entry] of Object.entries(policy.issuers)) {
    const [form] = issuerForms(entry, deps.embeddedIssuer ?? null);
    if (entry.introspection === undefined || form === undefined) continue;
    const rules = issuerRules(name, entry, form);
    const introspector = new Introspector({
      ...surroundings(name, entry.introspection, rules.issuer, deps),
      ask: askers(entry, entry.introspection, form),
      judge: (answer, nowSeconds) => judgeIntrospection(answer, rules, nowSeconds),
    });
    byName.set(name, introspector);
    const { token_prefixes: prefixes, also_jwt: alsoJwt } = entry.introspection;
    if (alsoJwt) confirming.set(rules.issuer, introspector);
    for (const prefix of prefixes) byPrefix.push({ prefix, introspector });
    if (prefixes.length === 0) others = introspector;
  }
  if (byName.size === 0) return null;
  return {
    byName,
    confirming: confirming.size === 0 ? null : confirming,
    introspectorFor(credential) {
      for (const { prefix, introspector } of byPrefix) if (credential.startsWith(prefix)) return introspector;
      return others === null || isJwtShaped(credential) ? null : others;
    },
  };
}

/** What one entry says against itself, the others or the configuration. */
export function checkIntrospection(policy: IssuersPolicy): readonly IssuerFault[] {
  const faults: IssuerFault[] = [];
  const owners = new Map<string, string>();
  let owner: string | null = null;
  for (const [name, { introspection }] of Object.entries(policy.issuers)) {
    if (introspection === undefined) continue;
    const path = ['issuers', name, 'introspection', 'token_prefixes'];
    if (introspection.token_prefixes.length === 0) {
      if (owner !== null)
        faults.push({
          path,
          message: `opaque credentials without a known prefix are already looked up by ${owner}`,
        });
      owner = name;
    }
    for (const prefix of introspection.token_prefixes) {
      const other = [...owners].find(([known]) => known.startsWith(prefix) || prefix.startsWith(known));
      if (other !== undefined)
        faults.push({
          path,
          message: `credentials that begin with ${prefix} are already looked up by ${other[1]}`,
        });
      owners.set(prefix, name);
    }
  }
  return faults;
}

/** Three parts, or five of an encrypted one, whatever is in them. */
export function isJwtShaped(credential: string): boolean {
  const dots = credential.split('.', 6).length - 1;
  return dots === 2 || dots === 4;
}

type Surroundings = Omit<IntrospectorOptions, 'ask' | 'judge'>;

function surroundings(
  name: string,
  policy: IntrospectionPolicy,
  issuer: string,
  deps: AuthenticationDeps,
): Surroundings {
  const { log, now = Date.now, monotonic = () => performance.now(), revocations } = deps;
  return {
    maxAgeMs: () =>
      revocations?.isFeedLost(issuer) === true ? Math.min(maxAgeWithoutFeedMs, policy.cache) : policy.cache,
    negativeMs: policy.negative_cache,
    timeoutMs: policy.timeout,
    revocations: revocations ?? { generation: 0, isRevoked: () => false },
    now,
    monotonic,
    onOutcome: (outcome) => deps.onIntrospection?.(name, outcome),
    onProblem: (problem) => {
      if (problem === null) log.info({ issuer }, 'an issuer answers about credentials again');
      else log.warn({ issuer, problem }, 'an issuer cannot be asked about credentials');
    },
  };
}

type Askers = (
  entry: IssuerPolicy,
  policy: IntrospectionPolicy,
  form: ReturnType<typeof issuerForms>[number],
) => IntrospectorOptions['ask'];

function askersOf(deps: AuthenticationDeps): Askers {
  const { identityApi, monotonic = () => performance.now() } = deps;
  const connections = keptConnections({
    connections: mostConnections,
    connectMs: issuerConnectMs,
    ca: deps.issuerCa,
  });
  const fetchDocument = documentFetcher(deps.issuerCa);
  return (entry, policy, { issuer, source: { metadataUrl } }) => {
    if (entry.issuer !== 'embedded') {
      const allowsPlainHttp = entry.insecure_plain_http;
      return foreignIntrospection({
        issuer,
        metadataUrl,
        policy,
        allowsPlainHttp,
        connections,
        fetchDocument,
        monotonic,
      });
    }
    if (identityApi === undefined)
      return () => Promise.reject(new Error('gateway.embedded_identity is not set'));
    return (credential, signal) => identityApi.introspect(credential, signal);
  };
}
