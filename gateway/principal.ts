// What authentication yields, whatever the credential was.

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
  readonly scopes: ReadonlySet<string>;
  readonly acr: string | null;
  readonly amr: readonly string[];
  /** Epoch seconds, or null when the issuer did not say. */
  readonly authTime: number | null;
  /** Epoch seconds; the principal is worthless from then on. */
  readonly expiresAt: number;
  readonly claims: Readonly<Record<string, unknown>>;
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
    expiresAt: Number.POSITIVE_INFINITY,
    claims: {},
  };
}
