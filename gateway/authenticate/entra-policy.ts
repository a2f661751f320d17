// The key `entra` of issuers.yaml: which tenants of Microsoft Entra ID, in which cloud, and what their access tokens have
// to prove. Tenants are always listed: `common` and `organizations` alone would accept everybody.
import { z } from 'zod';
import { duration } from '../../core/duration.ts';
import { secretReference } from '../../core/secret.ts';

/** Versions of Entra access tokens. */
export const entraVersions = ['1.0', '2.0'] as const;
/** One of them. */
export type EntraVersion = (typeof entraVersions)[number];

/** Hosts of the clouds: v2.0 tokens are issued by `authority`, v1.0 tokens by `v1Issuer`. */
export const entraClouds = {
  global: {
    authority: 'https://login.microsoftonline.com',
    v1Issuer: 'https://sts.windows.net',
    directory: 'https://graph.microsoft.com',
  },
  us_government: {
    authority: 'https://login.microsoftonline.us',
    v1Issuer: 'https://sts.windows.net',
    directory: 'https://graph.microsoft.us',
  },
  china: {
    authority: 'https://login.partner.microsoftonline.cn',
    v1Issuer: 'https://sts.chinacloudapi.cn',
    directory: 'https://microsoftgraph.chinacloudapi.cn',
  },
} as const;

/** How strongly a client application proved to be itself, weakest first: `azpacr` (v1.0: `appidacr`) 0, 1 and 2. */
export const clientAuthentications = ['public', 'secret', 'certificate'] as const;
/** One of them. */
export type ClientAuthentication = (typeof clientAuthentications)[number];

const guid = z
  .string()
  .regex(
    /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i,
    'a tenant id is a GUID; names, common and organizations are not accepted',
  )
  .toLowerCase();

const origin = z.string().regex(/^https?:\/\/[^/?#@\s]+$/, 'the address is https://host, without a path');

const directory = z.strictObject({
  /** Address of the directory service, without a path; default: Microsoft Graph of the cloud. */
  endpoint: origin.optional(),
  /** The application that asks it; it needs the permission to read the groups of everybody. */
  client_id: z.string().min(1),
  /** Its secret, as env:NAME or file:/path; read when it is needed. */
  client_secret: secretReference,
  /** How long an answer is used: a change of groups takes effect within this time. */
  cache: duration.refine((ms) => ms >= 1_000 && ms <= 3_600_000, 'cache is 1s to 1h').prefault('5m'),
  /** How long the caller waits for all answers together. */
  timeout: duration.refine((ms) => ms >= 100 && ms <= 10_000, 'timeout is 100ms to 10s').prefault('3s'),
});

/** Schema of `entra`. */
export const entraSchema = z
  .strictObject({
    /** Id of the one tenant; its name, common and organizations are not accepted. */
    tenant_id: guid.optional(),
    /** Ids of the tenants of an application for several; no other tenant is accepted. */
    tenants: z.array(guid).min(1).optional(),
    /** Versions of access tokens that are accepted. */
    versions: z.array(z.enum(entraVersions)).min(1).default(['2.0']),
    /** Which cloud the tenants are in; default: global. */
    cloud: z.enum(['global', 'us_government', 'china']).optional(),
    /** Where another cloud signs in, instead of `cloud`, e.g. https://login.microsoftonline.us. */
    authority: origin.optional(),
    /** Who may come: people (`user`), applications on their own behalf (`app`), or both; what is neither for certain is refused unless `any`. */
    identity_type: z.enum(['user', 'app', 'any']).default('any'),
    /** How the client application must at least have proved to be itself (azpacr, appidacr). */
    client_authentication: z.enum(clientAuthentications).default('public'),
    /** A token of somebody in too many groups lists none: `deny` treats them as unknown, `resolve` asks the directory. */
    groups_overage: z.enum(['deny', 'resolve']).default('deny'),
    /** The directory that `groups_overage: resolve` asks; an address in a token is never followed. */
    directory: directory.optional(),
  })
  .superRefine((entra, context) => {
    const fault = (path: string[], message: string): void =>
      context.addIssue({ code: 'custom', path, message });
    if ((entra.tenant_id === undefined) === (entra.tenants === undefined))
      fault([], 'state either tenant_id: … or tenants: […]');
    if (entra.cloud !== undefined && entra.authority !== undefined)
      fault(['authority'], 'state either cloud or authority');
    if ((entra.groups_overage === 'resolve') !== (entra.directory !== undefined))
      fault(
        [entra.directory === undefined ? 'groups_overage' : 'directory'],
        'groups_overage: resolve and directory go together',
      );
  })
  .transform(({ tenant_id: tenantId, tenants, cloud = 'global', authority, ...others }) => {
    const hosts = authority === undefined ? entraClouds[cloud] : hostsOf(authority);
    return {
      ...others,
      tenants: tenants ?? (tenantId === undefined ? [] : [tenantId]),
      /** Whether metadata and keys are those that all tenants share. */
      isMultiTenant: tenants !== undefined,
      authority: hosts.authority,
      v1Issuer: hosts.v1Issuer,
      directoryEndpoint: others.directory?.endpoint ?? hosts.directory,
    };
  });
/** The parsed `entra`. */
export type EntraPolicy = z.output<typeof entraSchema>;

interface Hosts {
  readonly authority: string;
  readonly v1Issuer: string;
  readonly directory: string;
}

/** The hosts that go with an authority that is spelled out: those of its cloud, else of the global one. */
function hostsOf(authority: string): Hosts {
  // China has two names for its authority.
  const name = authority === 'https://login.chinacloudapi.cn' ? entraClouds.china.authority : authority;
  const cloud = Object.values(entraClouds).find((hosts) => hosts.authority === name) ?? entraClouds.global;
  return { ...cloud, authority };
}
