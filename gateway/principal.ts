// What authentication yields, whatever the credential was.

/** What an access token is bound to (RFC 7800 `cnf`); at least one of the two, and both must be shown. */
export interface Binding {
  /** RFC 9449 §6.1: thumbprint of the DPoP key, or null. */
  readonly jkt: string | null;
  /** RFC 8705 §3.1: `x5t#S256` of the client certificate, or null. */
  readonly certificateThumbprint: string | null;
  /** Whether its issuer's entry asks for a nonce of ours in each proof. */
  readonly requiresNonce: boolean;
}

/** How a principal was shown; what a revocation may name. */
export interface Credential {
  readonly kind: 'access_token' | 'api_key' | 'client_certificate' | 'password' | 'none';
  /** What its issuer calls it: `jti` (Entra: `uti`), the id of an API key, a serial number; null when it has none. Never the credential itself. */
  readonly id: string | null;
  /** Epoch seconds; null when the issuer did not say. */
  readonly issuedAt: number | null;
}

/** Whoever is behind a credential, and what it says of him. */
export interface Principal {
  /** Name of the issuer in issuers.yaml: a closed set, fit for metric labels. */
  readonly issuerName: string;
  /** The `iss` claim, exact text. */
  readonly issuer: string;
  readonly subject: string;
  /** Whom limits and audit count: issuer and subject (Entra: `tid` and `oid`) in one string. */
  readonly key: string;
  readonly clientId: string | null;
  readonly tenantId: string | null;
  /** Roles as claimed; assignments and hierarchy are applied by authorize. */
  readonly roles: ReadonlySet<string>;
  readonly groups: ReadonlySet<string>;
  /** The credential says that there are more groups than it lists: `groups` is empty, and none counts as absent. */
  readonly groupsUnknown?: boolean | undefined;
  /** Whether a person or an application is behind it; undefined where the issuer draws no such line. */
  readonly identityType?: 'user' | 'app' | 'unproven' | undefined;
  readonly scopes: ReadonlySet<string>;
  readonly acr: string | null;
  readonly amr: readonly string[];
  /** Epoch seconds, or null when the issuer did not say. */
  readonly authTime: number | null;
  readonly credential: Credential;
  /** Null: whoever holds the access token may use it. */
  readonly binding: Binding | null;
  /** Epoch seconds; the principal is worthless from then on. */
  readonly expiresAt: number;
  readonly claims: Readonly<Record<string, unknown>>;
  /** Made for one request and not kept: its credential was never seen before. */
  readonly isPassing?: boolean;
}

/** The principal of a route that is open to anybody (`anonymous: true`), counted by address. */
export function anonymousPrincipal(callerAddress: string): Principal {
  return {
    issuerName: 'anonymous',
    issuer: 'anonymous',
    subject: callerAddress,
    key: `anonymous ${callerAddress}`,
    clientId: null,
    tenantId: null,
    roles: new Set(),
    groups: new Set(),
    scopes: new Set(),
    acr: null,
    amr: [],
    authTime: null,
    credential: { kind: 'none', id: null, issuedAt: null },
    binding: null,
    expiresAt: Number.POSITIVE_INFINITY,
    claims: {},
  };
}

/**
 * Stands for a subject that another service asks about and that only this service knows. It has no issuer, so that it
 * is never taken for a principal of the same name.
 */
export function strangerPrincipal(type: string, id: string, roles: ReadonlySet<string>): Principal {
  return { ...anonymousPrincipal(''), issuerName: '', issuer: '', subject: id, key: `${type}:${id}`, roles };
}

/** Whether a principal only stands for a subject of another service. */
export function isStranger({ issuerName }: Principal): boolean {
  return issuerName === '';
}
