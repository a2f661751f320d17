// Finds issuer, client and scope from the gateway's URL alone: RFC 9728 at the gateway, then RFC 8414 or OpenID
// discovery at the issuer. Trusts an answer only when it names exactly what was asked.
import { exitCodes } from '../exit-codes.ts';
import { CommandFailure } from '../failure.ts';
import { isProtectedUrl } from '../gateway-address.ts';
import type { Fetch } from '../trusted-fetch.ts';

/** What the gateway says about who issues tokens for it. */
export interface ProtectedResource {
  readonly issuer: string;
  readonly clientId: string;
  readonly scopes: readonly string[];
}

/** The issuer's endpoints that the command line uses; names as in RFC 8414. */
export interface IssuerMetadata {
  readonly issuer: string;
  readonly token_endpoint: string;
  readonly device_authorization_endpoint?: string;
  readonly revocation_endpoint?: string;
  readonly jwks_uri?: string;
}

const timeoutMs = 10_000;

/**
 * Asks the gateway for its RFC 9728 document.
 * Checks: JSON object, `resource` is this gateway, an issuer on https or loopback, a client id (`ownClientId` wins).
 * Does not check: the issuer itself (discoverIssuer).
 */
export async function discoverProtectedResource(
  gateway: string,
  fetch: Fetch,
  ownClientId?: string,
): Promise<ProtectedResource> {
  const base = new URL(gateway);
  // RFC 9728 §3.1: the well-known part stands between the host and the path of the resource.
  const url = `${base.origin}/.well-known/oauth-protected-resource${base.pathname === '/' ? '' : base.pathname}`;
  const document = await fetchJson(url, fetch, () => unreachableGateway(gateway));
  const issuers = document?.['authorization_servers'];
  const issuer: unknown = Array.isArray(issuers) ? issuers[0] : undefined;
  if (document === null || typeof issuer !== 'string') throw notSallyport(gateway);
  checkResource(document['resource'], gateway);
  checkEndpoint(issuer, 'issuer');
  const clientId = ownClientId ?? document['sallyport_cli_client_id'];
  if (typeof clientId !== 'string' || clientId === '') {
    throw new CommandFailure(
      exitCodes.configurationInvalid,
      `${gateway} names no client for this program to sign in with.`,
      {
        code: 'no_client_id',
        hints: ['Its operator sets one for the command line; or sign in with  --client-id ID.'],
      },
    );
  }
  const scopes = document['scopes_supported'];
  return {
    issuer,
    clientId,
    scopes: Array.isArray(scopes) ? scopes.filter((scope) => typeof scope === 'string') : [],
  };
}

/**
 * Asks the issuer for its metadata: RFC 8414 first, then the OpenID form that Entra knows.
 * Checks: the issuer is exactly the one asked, every endpoint is on https or loopback.
 */
export async function discoverIssuer(issuer: string, fetch: Fetch): Promise<IssuerMetadata> {
  const url = new URL(issuer);
  const path = url.pathname === '/' ? '' : url.pathname.replace(/\/$/, '');
  const places = [
    `${url.origin}/.well-known/oauth-authorization-server${path}`,
    `${url.origin}${path}/.well-known/openid-configuration`,
  ];
  for (const place of places) {
    const document = await fetchJson(place, fetch, () => unreachableIssuer(issuer));
    // RFC 8414 §3.3: a document that names another issuer must not be used.
    if (document === null || document['issuer'] !== issuer) continue;
    const endpoints = ['token_endpoint', 'device_authorization_endpoint', 'revocation_endpoint'] as const;
    for (const name of endpoints) if (document[name] !== undefined) checkEndpoint(document[name], name);
    if (typeof document['token_endpoint'] !== 'string') continue;
    return document as unknown as IssuerMetadata; // Border: the members used were checked just now.
  }
  throw new CommandFailure(exitCodes.unreachable, `${issuer} does not describe itself as that issuer.`, {
    code: 'issuer_mismatch',
    hints: ['Tell the operator: its metadata is missing, or names another issuer.'],
  });
}

/** The failure of every command whose gateway does not answer. */
export function unreachableGateway(gateway: string): CommandFailure {
  return new CommandFailure(exitCodes.unreachable, `Nothing answers at ${gateway}.`, {
    code: 'gateway_unreachable',
    hints: [
      'Is it running?  npm start',
      'Another address:  --gateway URL,  or SALLYPORT_URL.  To look closer:  sallyport doctor',
    ],
  });
}

/** The failure of every command whose issuer does not answer. */
export function unreachableIssuer(issuer: string): CommandFailure {
  return new CommandFailure(
    exitCodes.unreachable,
    `The sign-in server does not answer: ${new URL(issuer).origin}`,
    {
      code: 'issuer_unreachable',
      hints: ['The gateway itself is there. To look closer:  sallyport doctor'],
    },
  );
}

function notSallyport(gateway: string): CommandFailure {
  return new CommandFailure(
    exitCodes.unreachable,
    `Something answers at ${gateway}, but it is not a Sallyport gateway.`,
    {
      code: 'not_sallyport',
      hints: [
        'It has no /.well-known/oauth-protected-resource. Check the address and the port:  --gateway URL',
      ],
    },
  );
}

// RFC 9728 §3.3: metadata whose resource is not the one that was asked must not be used.
function checkResource(resource: unknown, gateway: string): void {
  if (typeof resource === 'string' && resource.replace(/\/$/, '') === gateway) return;
  const named =
    typeof resource === 'string' && /^https?:\/\/[\x21-\x7e]+$/.test(resource)
      ? resource.replace(/\/$/, '')
      : null;
  throw new CommandFailure(
    exitCodes.unreachable,
    `The gateway at ${gateway} calls itself ${named ?? 'something else'}.`,
    {
      code: 'resource_mismatch',
      hints: [named === null ? 'Check the address:  --gateway URL' : `Use that address:  --gateway ${named}`],
    },
  );
}

/** @throws CommandFailure when an announced address is neither https nor on this machine. */
export function checkEndpoint(value: unknown, name: string): void {
  if (typeof value === 'string' && URL.canParse(value) && isProtectedUrl(new URL(value))) return;
  throw new CommandFailure(
    exitCodes.unreachable,
    `The ${name} that was announced is neither https nor on this machine; nothing was sent to it.`,
    {
      code: 'insecure_endpoint',
    },
  );
}

/** A JSON object, null when the server answers something else. @throws what `unreachable` makes when nobody answers. */
async function fetchJson(
  url: string,
  fetch: Fetch,
  unreachable: () => CommandFailure,
): Promise<Record<string, unknown> | null> {
  let response: Response;
  let text: string;
  try {
    response = await fetch(url, {
      headers: { accept: 'application/json' },
      signal: AbortSignal.timeout(timeoutMs),
    });
    text = await response.text();
  } catch (error) {
    throw tlsFailure(error, url) ?? unreachable();
  }
  if (response.status >= 500) throw unreachable();
  if (response.status !== 200) return null;
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
}

/** The failure for a certificate that is not trusted or the wrong protocol, or null when the cause is another. */
export function tlsFailure(error: unknown, url: string): CommandFailure | null {
  const code = errorCode(error) ?? '';
  const { origin, protocol } = new URL(url);
  const failure = (message: string, hint: string): CommandFailure =>
    new CommandFailure(exitCodes.unreachable, message, { code: 'tls_untrusted', hints: [hint] });
  if (protocol === 'http:') {
    // A TLS server ends a plain request without an answer.
    if (!/^(UND_ERR_SOCKET|HPE_)/.test(code)) return null;
    return failure(
      `${origin} ended the connection without an answer.`,
      `Perhaps it speaks TLS:  --gateway ${origin.replace('http:', 'https:')}`,
    );
  }
  if (/WRONG_VERSION|EPROTO|PACKET_LENGTH/.test(code)) {
    return failure(
      `${origin} does not speak TLS.`,
      `Perhaps plain http:  --gateway ${origin.replace('https:', 'http:')}`,
    );
  }
  if (!/CERT|SELF_SIGNED|UNABLE_TO_VERIFY|ERR_TLS|ERR_SSL/.test(code)) return null;
  return failure(
    `The certificate of ${origin} is not trusted here (${code}).`,
    'Trust its authority:  --ca FILE,  or NODE_EXTRA_CA_CERTS=FILE',
  );
}

function errorCode(error: unknown): string | null {
  for (let current: unknown = error; current instanceof Error; current = current.cause) {
    const { code } = current as NodeJS.ErrnoException;
    if (typeof code === 'string') return code;
  }
  return null;
}
