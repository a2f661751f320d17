// Reads an access token's claims for display only. Nothing is verified and nothing is decided by it: that is the
// gateway's work. An opaque token has no claims to show.

/** The claims that the command line shows. */
export interface ShownClaims {
  readonly subject: string | null;
  readonly username: string | null;
  readonly roles: readonly string[];
  readonly groups: readonly string[];
  readonly scopes: readonly string[];
  readonly tenantId: string | null;
}

/** Decodes a JWT's payload without verifying it. */
export function showClaims(accessToken: string): ShownClaims {
  const claims = decodePayload(accessToken);
  const string = (name: string): string | null => (typeof claims[name] === 'string' ? claims[name] : null);
  const list = (name: string): string[] => {
    const value: unknown = claims[name];
    return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
  };
  return {
    subject: string('sub'),
    username: string('preferred_username') ?? string('upn') ?? string('name'),
    roles: list('roles'),
    groups: list('groups'),
    scopes: (string('scp') ?? string('scope') ?? '').split(' ').filter((scope) => scope !== ''),
    tenantId: string('tid'),
  };
}

function decodePayload(jwt: string): Record<string, unknown> {
  const part = jwt.split('.')[1];
  if (part === undefined) return {};
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
