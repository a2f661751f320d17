// Asks a directory with the API of Microsoft Graph which groups somebody is in. The address comes from the policy alone;
// what a token says of addresses is never read, and a further page is followed only at the same service.
import { z } from 'zod';
import { readSecret } from '../../../core/secret.ts';
import { issuerConnectMs } from '../fetch-document.ts';
import { requestOnce, trusting } from '../../single-request.ts';

/** Where the directory is and as whom it is asked. */
export interface DirectoryClientOptions {
  /** `https://graph.microsoft.com`, without a path. */
  readonly endpoint: string;
  /** Where each tenant signs in. */
  readonly authority: string;
  readonly clientId: string;
  /** `env:NAME` or `file:/path`; read whenever an access token is fetched. */
  readonly clientSecret: string;
  /** How long a sign-in may take. */
  readonly timeoutMs: number;
  /** PEM text of a further certificate authority. */
  readonly issuerCa?: string | undefined;
  /** Epoch ms. */
  readonly now: () => number;
}

/** Somebody in the directory. */
export interface DirectoryMember {
  readonly tenantId: string;
  readonly objectId: string;
  /** Applications are kept apart from people there. */
  readonly isApplication: boolean;
}

/** Answers with the ids of every group, through others too. @throws Error whose message an operator can act on */
export type AskDirectory = (member: DirectoryMember, signal: AbortSignal) => Promise<ReadonlySet<string>>;

const maxAnswerBytes = 2 * 1_048_576;
const maxPages = 50;
const maxGroups = 50_000;
/** An access token is no longer used this long before it expires. */
const expiryMarginMs = 60_000;

const pageSchema = z.object({
  value: z.array(z.string().min(1).max(512)),
  '@odata.nextLink': z.string().optional(),
});
const tokenSchema = z.object({ access_token: z.string().min(1), expires_in: z.coerce.number().positive() });

type Trust = ReturnType<typeof trusting>;

interface HeldAccessToken {
  readonly text: string;
  readonly until: number;
}

/** Creates the client; it opens nothing until it is asked. */
export function createDirectoryClient(options: DirectoryClientOptions): AskDirectory {
  const { endpoint, now } = options;
  const trust = trusting(options.issuerCa);
  // One for each listed tenant, so the map is bounded by the policy.
  const accessTokens = new Map<string, HeldAccessToken>();
  const fetching = new Map<string, Promise<HeldAccessToken>>();

  const accessTokenFor = async (tenantId: string): Promise<string> => {
    const held = accessTokens.get(tenantId);
    if (held !== undefined && now() < held.until) return held.text;
    const flight =
      fetching.get(tenantId) ??
      fetchAccessToken(tenantId, options, trust).finally(() => fetching.delete(tenantId));
    fetching.set(tenantId, flight);
    const fetched = await flight;
    accessTokens.set(tenantId, fetched);
    return fetched.text;
  };

  const ask = async (url: string, member: DirectoryMember, { first, signal }: Asking): Promise<Page> => {
    const accessToken = await accessTokenFor(member.tenantId);
    const answer = await send(url, trust, {
      // Transitive membership, security groups and others, as the claim would list them.
      ...(first ? { method: 'POST', body: '{"securityEnabledOnly":false}' } : { method: 'GET' }),
      headers: {
        authorization: `Bearer ${accessToken}`,
        accept: 'application/json',
        ...(first ? { 'content-type': 'application/json' } : {}),
      },
      signal,
    });
    // It may have been withdrawn: the next question fetches another.
    if (answer.status === 401) accessTokens.delete(member.tenantId);
    return pageOf(answer);
  };

  return async (member, signal) => {
    const kind = member.isApplication ? 'servicePrincipals' : 'users';
    const groups = new Set<string>();
    let url = `${endpoint}/v1.0/${kind}/${encodeURIComponent(member.objectId)}/getMemberObjects`;
    for (let page = 0; page < maxPages; page++) {
      const { value, next } = await ask(url, member, { first: page === 0, signal });
      for (const group of value) groups.add(group);
      if (groups.size > maxGroups) throw new Error(`the directory lists more than ${maxGroups} groups`);
      if (next === undefined) return groups;
      url = nextPage(next, endpoint);
    }
    throw new Error(`the directory's answer has more than ${maxPages} pages`);
  };
}

interface Asking {
  readonly first: boolean;
  readonly signal: AbortSignal;
}

interface Page {
  readonly value: readonly string[];
  readonly next: string | undefined;
}

function pageOf({ status, json }: Answer): Page {
  if (status !== 200) throw new Error(`the directory's answer is ${status}`);
  const parsed = pageSchema.safeParse(json);
  if (!parsed.success) throw new Error("the directory's answer is not a list of groups");
  return { value: parsed.data.value, next: parsed.data['@odata.nextLink'] };
}

// Our access token goes to the directory alone, wherever its answer points.
function nextPage(next: string, endpoint: string): string {
  if (!URL.canParse(next) || new URL(next).origin !== new URL(endpoint).origin)
    throw new Error("the directory's next page is elsewhere");
  return new URL(next).href;
}

// RFC 6749 §4.4: the client credentials grant, at the tenant whose directory is asked.
async function fetchAccessToken(
  tenantId: string,
  options: DirectoryClientOptions,
  trust: Trust,
): Promise<HeldAccessToken> {
  const { authority, clientId, clientSecret, endpoint, now } = options;
  const form = new URLSearchParams({
    grant_type: 'client_credentials',
    client_id: clientId,
    client_secret: readSecret(clientSecret),
    scope: `${endpoint}/.default`,
  });
  const startedAt = now();
  const { status, json } = await send(`${authority}/${tenantId}/oauth2/v2.0/token`, trust, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' },
    body: form.toString(),
    // Of its own: whoever asked first may give up while others wait.
    signal: AbortSignal.timeout(options.timeoutMs),
  });
  if (status !== 200) throw new Error(`the sign-in at the directory was refused (${status})`);
  const parsed = tokenSchema.safeParse(json);
  if (!parsed.success) throw new Error('the sign-in at the directory brought no access token');
  const { access_token: text, expires_in: expiresIn } = parsed.data;
  return { text, until: startedAt + expiresIn * 1_000 - expiryMarginMs };
}

interface Answer {
  readonly status: number;
  readonly json: unknown;
}

interface Sent {
  readonly method: 'GET' | 'POST';
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal: AbortSignal;
}

/** Sends one request; redirects are not followed. */
async function send(url: string, trust: Trust, sent: Sent): Promise<Answer> {
  const answer = await requestOnce(url, { ...sent, trust: trust(), connectMs: issuerConnectMs });
  const chunks: Buffer[] = [];
  let size = 0;
  // Buffers, since no encoding is set.
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxAnswerBytes) throw new Error('the answer is too large');
    chunks.push(chunk);
  }
  try {
    return { status: answer.statusCode ?? 0, json: JSON.parse(Buffer.concat(chunks).toString('utf8')) };
  } catch {
    return { status: answer.statusCode ?? 0, json: null };
  }
}
