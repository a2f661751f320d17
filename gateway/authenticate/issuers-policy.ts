// policies/issuers.yaml: whose access tokens are accepted, for whom, from which client applications. Defaults are the
// secure ones; whatever opens something has to be spelled out.
import { z } from 'zod';
import { duration } from '../../core/duration.ts';
import { basicSchema } from './basic/basic-policy.ts';
import { certificatesSchema } from './certificate/certificates-policy.ts';
import { entraSchema, type EntraPolicy } from './entra-policy.ts';
import { introspectionSchema, type IntrospectionPolicy } from './introspection/introspection-policy.ts';
import { isSecureOrLoopback } from './issuer-url.ts';

/** Signature algorithms that a policy may list: asymmetric ones only, so neither `none` nor HS* can be configured. */
export const signatureAlgorithms = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
] as const;
/** One of them. */
export type SignatureAlgorithm = (typeof signatureAlgorithms)[number];

const issuerUrl = z.string().superRefine((text, context) => {
  if (text === 'embedded') return;
  if (!/^https?:\/\//.test(text) || !URL.canParse(text)) {
    context.addIssue({
      code: 'custom',
      message: 'an issuer is `embedded` or its https:// address, exactly as in the iss claim',
    });
    return;
  }
  const url = new URL(text);
  // RFC 8414 §2: an issuer identifier has no query or fragment.
  if (/[?#\s]/.test(text) || url.username !== '' || url.password !== '') {
    context.addIssue({ code: 'custom', message: 'an issuer has no query, fragment or credentials' });
  }
});

const documentUrl = z
  .string()
  .refine(
    (text) => /^https?:\/\/[^?#@\s]+$/.test(text) && URL.canParse(text),
    'a document has an https:// address without query, fragment or credentials',
  );

const nonEmptyTexts = z.array(z.string().min(1)).min(1);

const claimValue = z.union([z.string().min(1), z.number(), z.boolean()], {
  error: 'a claim value is text, a number or true/false',
});
const requiredClaim = z
  .strictObject({
    /** Each of these values must be in the claim. */
    all: z.array(claimValue).min(1).optional(),
    /** At least one of these values must be in the claim. */
    any: z.array(claimValue).min(1).optional(),
    /** Splits a text claim into values; default: a blank for scp and scope, none for others. */
    separator: z.string().min(1).max(8).optional(),
  })
  .refine(
    (claim) => (claim.all === undefined) !== (claim.any === undefined),
    'state either all: […] or any: […]',
  )
  .transform(({ all, any, separator }) => ({
    match: all === undefined ? ('any' as const) : ('all' as const),
    values: [...(all ?? []), ...(any ?? [])],
    separator,
  }));
/** One entry of `required_claims`. */
export type RequiredClaim = z.output<typeof requiredClaim>;

/** A claim by name, or by the path of names that leads to it (Keycloak: `[realm_access, roles]`). */
const claimPath = z
  .union([z.string().min(1), nonEmptyTexts], { error: 'a claim is a name or a list of names' })
  .transform((path): readonly string[] => (typeof path === 'string' ? [path] : path));

const atLeast = (minMs: number, text: string): z.ZodType<number, string> =>
  duration.refine((ms) => ms >= minMs, text);

const jwks = z
  .strictObject({
    /** How long the last good keys are used while the issuer cannot be reached, also after a restart. */
    max_age: atLeast(5_000, 'max_age is at least 5s').prefault('24h'),
    /** Between two fetches that unknown key ids may cause, and between retries while the issuer is down. */
    cooldown: atLeast(1_000, 'cooldown is at least 1s').prefault('30s'),
    /** Between two scheduled fetches: a withdrawn key stops working within this time. */
    refresh: atLeast(5_000, 'refresh is at least 5s').prefault('10m'),
  })
  .refine((settings) => settings.max_age >= settings.refresh, {
    path: ['max_age'],
    error: 'max_age is at least as long as refresh',
  })
  .refine((settings) => settings.refresh <= 86_400_000, {
    path: ['refresh'],
    error: 'refresh is at most 24h',
  });

const issuer = z
  .strictObject({
    /** `embedded`, or the exact `iss` of an OpenID provider. */
    issuer: issuerUrl.optional(),
    /** One or several tenants of Microsoft Entra ID. */
    entra: entraSchema.optional(),
    /** Where the metadata is read, if the issuer's own address cannot be reached from here; it must still name the issuer exactly. */
    metadata_url: documentUrl.optional(),
    /** Where the keys are read, instead of the metadata's jwks_uri; the metadata is then not needed to judge a token. */
    jwks_url: documentUrl.optional(),
    /** Plain HTTP beyond loopback: whoever is on the path can hand us keys of his own. */
    insecure_plain_http: z.boolean().default(false),
    /** Accepted `aud` values, exact; never empty. `{ insecure_any: true }` also takes tokens that are for other services. */
    audiences: z.union(
      [
        nonEmptyTexts,
        z.strictObject({
          insecure_any: z
            .literal(true)
            .describe(
              'Accepts tokens for every audience, of listed clients: any service they call can use them here.',
            ),
        }),
      ],
      { error: 'audiences is a list of at least one audience' },
    ),
    /** Accepted client applications (azp, appid or client_id); `{ any: true }` accepts every one. */
    client_ids: z.union(
      [nonEmptyTexts, z.strictObject({ any: z.literal(true).describe('Accepts every client.') })],
      {
        error: 'client_ids is a list of at least one client id; { any: true } accepts every client',
      },
    ),
    /** Client ids that may use some of the `audiences` only; a client that is not named here may use every one. */
    client_audiences: z.record(z.string().min(1), nonEmptyTexts).default({}),
    /** Accepted signature algorithms; only asymmetric ones can be listed. */
    algorithms: z.array(z.enum(signatureAlgorithms)).min(1).default(['RS256']),
    /** Accepted `typ` headers; default: at+jwt, for entra JWT. */
    token_types: nonEmptyTexts.optional(),
    /** How far clocks may be apart when exp, nbf and iat are judged; at most 60s. */
    clock_skew: duration.refine((ms) => ms <= 60_000, 'clock_skew is at most 60s').prefault('30s'),
    /** Claims that an access token must hold, by name, each with `all` or `any`. */
    required_claims: z.record(z.string().min(1), requiredClaim).default({}),
    /** How the issuer's keys are fetched and kept. */
    jwks: jwks.prefault({}),
    /** Access tokens bound to a key of the caller (RFC 9449); a bound one never counts without its proof. */
    dpop: z
      .strictObject({
        /** Refuses access tokens that are not bound to a DPoP key. */
        required: z.boolean().default(false),
        /** Each proof must hold a nonce that the gateway gave: proofs cannot be made in advance. */
        nonce: z.boolean().default(false),
      })
      .prefault({}),
    /** Opaque credentials of this issuer, such as API keys, are looked up at it (RFC 7662). */
    introspection: introspectionSchema.optional(),
    /** Where this issuer puts what we need. */
    claims: z
      .strictObject({
        /** Claim that identifies the subject. */
        subject: claimPath.prefault('sub'),
        /** Claim that lists roles. */
        roles: claimPath.prefault('roles'),
        /** Claim that lists groups. */
        groups: claimPath.prefault('groups'),
        /** Claim that lists scopes; default: scp, then scope. */
        scopes: claimPath.optional(),
      })
      .prefault({}),
  })
  .superRefine((entry, context) => {
    if ((entry.issuer === undefined) === (entry.entra === undefined)) {
      context.addIssue({ code: 'custom', message: 'state either issuer: … or entra: { tenant_id: … }' });
      return;
    }
    if (!Array.isArray(entry.audiences) && !Array.isArray(entry.client_ids)) {
      const message =
        'any audience is accepted from listed clients only; otherwise every token of the issuer would do';
      context.addIssue({ code: 'custom', path: ['audiences'], message });
    }
    if (!entry.insecure_plain_http) {
      for (const path of plainHttpPaths(entry)) {
        const message = 'http:// is accepted on loopback only; insecure_plain_http: true lifts this';
        context.addIssue({ code: 'custom', path, message });
      }
    }
    for (const { path, message } of introspectionFaults(entry))
      context.addIssue({ code: 'custom', path: ['introspection', ...path], message });
    for (const key of ['metadata_url', 'jwks_url'] as const) {
      if (entry.entra === undefined || entry[key] === undefined) continue;
      const message = 'it goes with issuer: …; the documents of entra lie at its authority';
      context.addIssue({ code: 'custom', path: [key], message });
    }
  });

/** What `introspection` cannot be for this kind of issuer. */
function introspectionFaults({
  issuer: of,
  introspection,
}: {
  readonly issuer?: string | undefined;
  readonly introspection?: IntrospectionPolicy | undefined;
}): { path: string[]; message: string }[] {
  if (introspection === undefined) return [];
  if (of === undefined)
    return [{ path: [], message: 'Entra has no introspection; its access tokens are JWTs' }];
  const own = ['endpoint', 'client_id', 'client_secret'] as const;
  if (of === 'embedded')
    return own
      .filter((key) => introspection[key] !== undefined)
      .map((key) => ({
        path: [key],
        message: 'the embedded identity is asked at gateway.embedded_identity',
      }));
  return own
    .filter((key) => key !== 'endpoint' && introspection[key] === undefined)
    .map((key) => ({ path: [key], message: `${key} is how the gateway authenticates at the issuer` }));
}

/** Paths of the addresses that are plain HTTP beyond loopback. */
function plainHttpPaths(entry: {
  readonly issuer?: string | undefined;
  readonly entra?: Pick<EntraPolicy, 'authority' | 'directory'> | undefined;
  readonly metadata_url?: string | undefined;
  readonly jwks_url?: string | undefined;
  readonly introspection?: { readonly endpoint?: string | undefined } | undefined;
}): string[][] {
  const addresses: [string[], string | undefined][] = [
    [['issuer'], entry.issuer],
    [['entra', 'authority'], entry.entra?.authority],
    [['entra', 'directory', 'endpoint'], entry.entra?.directory?.endpoint],
    [['metadata_url'], entry.metadata_url],
    [['jwks_url'], entry.jwks_url],
    [['introspection', 'endpoint'], entry.introspection?.endpoint],
  ];
  return addresses
    .filter(([, address]) => address !== undefined && isPlainHttpElsewhere(address))
    .map(([path]) => path);
}

function isPlainHttpElsewhere(address: string): boolean {
  return URL.canParse(address) && address.startsWith('http:') && !isSecureOrLoopback(new URL(address));
}

/** Schema of policies/issuers.yaml. */
export const issuersSchema = z.strictObject({
  /** Trusted issuers, by name; the name is a label in metrics and audit records. */
  issuers: z
    .record(
      z
        .string()
        .regex(
          /^[a-z0-9][a-z0-9._-]{0,63}$/,
          'the name of an issuer is lower-case letters, digits, dots and hyphens',
        ),
      issuer,
    )
    .refine((entries) => Object.keys(entries).length > 0, 'list at least one issuer'),
  /** Client certificates that are credentials, by name; the first entry that matches decides. */
  client_certificates: certificatesSchema,
  /** HTTP Basic for accounts of the embedded identity server; without this section no password is a credential. */
  basic: basicSchema.optional(),
});
/** The parsed issuers.yaml. */
export type IssuersPolicy = z.output<typeof issuersSchema>;
/** One entry of issuers.yaml. */
export type IssuerPolicy = IssuersPolicy['issuers'][string];

/** The audiences that an entry lists; none where it accepts every one. */
export function listedAudiences({ audiences }: Pick<IssuerPolicy, 'audiences'>): readonly string[] {
  return Array.isArray(audiences) ? audiences : [];
}
