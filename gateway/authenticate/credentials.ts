// Which credential a request carries: from the raw header fields, since Node's `headers` drops a second Authorization.
import { GatewayError } from '../../core/errors.ts';

// RFC 6750 §2.1, RFC 9449 §7.1: b64token. RFC 9110 §11.4: the scheme is case-insensitive, one or more spaces follow.
const accepted = /^(bearer|dpop) +([A-Za-z0-9\-._~+/]+=*)$/i;
const b64token = /^[A-Za-z0-9\-._~+/]+=*$/;
/** Azure OpenAI clients send whatever key they were given in this field. */
const azurePrefix = '/openai/';

/** An access token and how it came. */
export interface PresentedCredential {
  readonly scheme: 'Bearer' | 'DPoP';
  readonly accessToken: string;
  /** Whether its syntax is still to be judged, by `checkSyntax`: one that is known as a whole was judged before. */
  readonly isUnread: boolean;
}

/**
 * The access token that a request presents, or null when it presents no credential.
 * Checks: one Authorization field at most, one carrier at most, none in the query, syntax of the field.
 * Does not check: the syntax of an access token that is `isUnread` (checkSyntax); the access token itself (verify); DPoP
 * proofs (sender-constraint.ts). `api-key` counts only under `/openai/`, where it carries an access token; elsewhere it is
 * ignored unless Authorization came too.
 * @throws GatewayError `invalid_request`
 */
export function presentedCredential(
  rawHeaders: readonly string[],
  path: string,
  query: string,
): PresentedCredential | null {
  // RFC 9700 §4.3.2: an access token in the query is refused: it ends up in logs and histories.
  if (query !== '' && carriesAccessToken(query)) throw malformed('credentials_in_query');
  let authorization: string | undefined;
  let apiKey: string | undefined;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] ?? '';
    const value = rawHeaders[index + 1];
    // RFC 6750 §3.1: more than one method of sending a token is invalid_request.
    if (isField(name, 'authorization')) {
      if (authorization !== undefined) throw malformed('two_credentials');
      authorization = value;
    } else if (isField(name, 'api-key')) {
      if (apiKey !== undefined) throw malformed('two_credentials');
      apiKey = value;
    }
  }
  if (authorization !== undefined && apiKey !== undefined) throw malformed('two_credentials');
  if (authorization !== undefined) return fromAuthorization(authorization);
  if (apiKey === undefined || !path.startsWith(azurePrefix)) return null;
  if (!b64token.test(apiKey)) throw malformed('malformed_credentials');
  return { scheme: 'Bearer', accessToken: apiKey, isUnread: false };
}

/** Judges the syntax of an access token that is not known yet. @throws GatewayError `invalid_request` */
export function checkSyntax({ accessToken, isUnread }: PresentedCredential): void {
  if (isUnread && !b64token.test(accessToken)) throw malformed('malformed_credentials');
}

// The length first: it tells nearly every other field apart without a copy in lower case.
function isField(name: string, field: string): boolean {
  return name.length === field.length && (name === field || name.toLowerCase() === field);
}

function fromAuthorization(authorization: string): PresentedCredential | null {
  // The form that clients send. To read the access token letter by letter costs as much as to hash it, so that waits
  // until it turns out to be a new one.
  if (authorization.startsWith('Bearer ') && authorization.length > 7 && authorization[7] !== ' ')
    return { scheme: 'Bearer', accessToken: authorization.slice(7), isUnread: true };
  const [, scheme, accessToken] = accepted.exec(authorization) ?? [];
  if (accessToken !== undefined)
    return { scheme: scheme?.length === 4 ? 'DPoP' : 'Bearer', accessToken, isUnread: false };
  if (authorization === '' || /^(bearer|dpop)(\s|$)/i.test(authorization))
    throw malformed('malformed_credentials');
  // RFC 6750 §3.1: a scheme that we do not accept is no authentication information, so the challenge stays bare.
  if (/^[!#$%&'*+\-.^_`|~\w]+( |$)/.test(authorization)) return null;
  throw malformed('malformed_credentials');
}

function carriesAccessToken(query: string): boolean {
  if (!/access|%/i.test(query)) return false;
  for (const name of new URLSearchParams(query).keys()) {
    if (name.toLowerCase() === 'access_token') return true;
  }
  return false;
}

function malformed(reason: string): GatewayError {
  return new GatewayError('invalid_request', { reason });
}
