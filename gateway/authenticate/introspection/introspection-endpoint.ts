// How another issuer is asked: its endpoint, stated or from its metadata, and the gateway's client credentials there.
import { readSecret } from '../../../core/secret.ts';
import type { KeptConnections } from '../../kept-connections.ts';
import type { FetchDocument } from '../fetch-document.ts';
import { isSecureOrLoopback } from '../issuer-url.ts';
import { askIssuer } from './ask-issuer.ts';
import type { IntrospectionPolicy } from './introspection-policy.ts';
import type { IntrospectorOptions } from './introspector.ts';

/** Which issuer, and over which connections. */
export interface ForeignIssuer {
  readonly issuer: string;
  readonly metadataUrl: string;
  readonly policy: IntrospectionPolicy;
  readonly allowsPlainHttp: boolean;
  readonly connections: Pick<KeptConnections, 'request'>;
  readonly fetchDocument: FetchDocument;
  readonly monotonic: () => number;
}

/** The metadata is read again after this. */
const endpointMaxAgeMs = 600_000;

/** Asks another issuer than the embedded one. */
export function foreignIntrospection(issuer: ForeignIssuer): IntrospectorOptions['ask'] {
  let found: { readonly url: string; readonly at: number } | null = null;
  const endpoint = async (signal: AbortSignal): Promise<string> => {
    if (issuer.policy.endpoint !== undefined) return issuer.policy.endpoint;
    if (found === null || issuer.monotonic() - found.at > endpointMaxAgeMs)
      found = { url: await discovered(issuer, signal), at: issuer.monotonic() };
    return found.url;
  };
  return async (credential, signal) => {
    const url = await endpoint(signal);
    return askIssuer(
      { url, connections: issuer.connections, ...clientCredentials(issuer.policy) },
      credential,
      signal,
    );
  };
}

async function discovered(
  { issuer, metadataUrl, fetchDocument, allowsPlainHttp }: ForeignIssuer,
  signal: AbortSignal,
): Promise<string> {
  const metadata = await fetchDocument(metadataUrl, signal);
  // RFC 8414 §3.3: the issuer in the document is exactly the one that was asked for.
  if (metadata['issuer'] !== issuer) throw new Error(`${metadataUrl}: the document names another issuer`);
  const endpoint = metadata['introspection_endpoint'];
  if (typeof endpoint !== 'string' || !URL.canParse(endpoint))
    throw new Error(`${metadataUrl}: the document has no introspection_endpoint`);
  const url = new URL(endpoint);
  // RFC 7662 §4: the credential and our secret travel there, so over TLS; an https issuer never sends us to plain HTTP.
  const isPlainIssuer = metadataUrl.startsWith('http:');
  if (
    url.protocol !== 'https:' &&
    !(isPlainIssuer && url.protocol === 'http:' && (allowsPlainHttp || isSecureOrLoopback(url)))
  )
    throw new Error(`${metadataUrl}: the introspection_endpoint is not https`);
  return endpoint;
}

// The secret is read for each question, so that a renewed file counts at once.
function clientCredentials(policy: IntrospectionPolicy): {
  headers: Record<string, string>;
  form: Record<string, string>;
} {
  const { client_id: clientId = '', client_secret: reference = '' } = policy;
  const secret = readSecret(reference);
  if (policy.client_authentication === 'client_secret_post')
    return { headers: {}, form: { client_id: clientId, client_secret: secret } };
  // RFC 6749 §2.3.1: id and secret are form-encoded before they become Basic credentials.
  const basic = Buffer.from(`${formEncoded(clientId)}:${formEncoded(secret)}`).toString('base64');
  return { headers: { authorization: `Basic ${basic}` }, form: {} };
}

function formEncoded(text: string): string {
  return new URLSearchParams({ '': text }).toString().slice(1);
}
