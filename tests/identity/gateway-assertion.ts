// Stands for a gateway towards identity: its public key in identity's data folder, and assertions signed with it.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { clientId, postForm, postJson, type TestIdentity } from './support.ts';

/** What an assertion says; the defaults are those of a gateway that speaks for itself. */
export interface Asserted {
  readonly subject?: string;
  readonly roles?: readonly string[];
  readonly client?: string | null;
  readonly credential?: string;
  readonly audience?: string;
  readonly expires?: string;
}

export interface TestGateway {
  /** A signed assertion. */
  assertion(says?: Asserted): Promise<string>;
  /** The header with which a gateway asks on its own account. */
  itself(): Promise<Record<string, string>>;
  /** The header with which a gateway forwards a request of a principal. */
  on(subject: string, says?: Asserted): Promise<Record<string, string>>;
  introspect(presented: string): ReturnType<typeof postForm>;
  verifyPassword(
    username: string,
    password: string,
    headers?: Record<string, string>,
  ): ReturnType<typeof postJson>;
}

/** Publishes the key of a gateway where identity looks for it. */
export async function gatewayOf(identity: TestIdentity): Promise<TestGateway> {
  const { privateKey, publicKey } = await generateKeyPair('EdDSA', { extractable: true });
  const jwk = { ...(await exportJWK(publicKey)), kid: 'g1', alg: 'EdDSA', use: 'sig' };
  writeFileSync(join(identity.data, 'gateway-jwks.json'), JSON.stringify({ keys: [jwk] }));
  const assertion = (says: Asserted = {}): Promise<string> =>
    new SignJWT({
      roles: says.roles ?? [],
      client_id: says.client ?? null,
      ...(says.credential === undefined ? {} : { credential: says.credential }),
    })
      .setProtectedHeader({ alg: 'EdDSA', typ: 'sallyport-assertion+jwt', kid: 'g1' })
      .setIssuer('urn:sallyport:gateway')
      .setAudience(says.audience ?? 'urn:sallyport:identity')
      .setSubject(says.subject ?? 'urn:sallyport:gateway')
      .setIssuedAt()
      .setExpirationTime(says.expires ?? '60s')
      .sign(privateKey);
  const itself = async (): Promise<Record<string, string>> => ({ 'sallyport-assertion': await assertion() });
  return {
    assertion,
    itself,
    on: async (subject, says = {}) => ({
      'sallyport-assertion': await assertion({
        subject: `${identity.issuer} ${subject}`,
        roles: ['LLM.User'],
        client: clientId(1),
        credential: 'access_token',
        ...says,
      }),
    }),
    introspect: async (presented) =>
      postForm(`${identity.base}/internal/introspect`, { token: presented }, await itself()),
    verifyPassword: async (username, password, headers = {}) =>
      postJson(
        `${identity.base}/internal/verify-password`,
        { username, password },
        { ...(await itself()), ...headers },
      ),
  };
}

/** An event of the feed. */
export interface FedEvent {
  readonly id: number | null;
  readonly event: { readonly type: string } & Readonly<Record<string, unknown>>;
}

/** A gateway that listens to the feed. */
export interface Listener {
  readonly response: Response;
  /** Everything so far, hello included. */
  readonly heard: readonly FedEvent[];
  /** Raw text so far, heartbeats included. */
  readonly text: () => string;
  readonly ended: () => boolean;
  /** Settles when `count` events after hello have come. */
  until(count: number): Promise<readonly FedEvent[]>;
  stop(): void;
}

/** Connects to the feed. */
export async function listen(identity: { base: string }, gateway: TestGateway, after = 0): Promise<Listener> {
  const abort = new AbortController();
  const response = await fetch(`${identity.base}/internal/events?after=${after}`, {
    headers: await gateway.itself(),
    signal: abort.signal,
  });
  const heard: FedEvent[] = [];
  let [text, rest, ended] = ['', '', false];
  const reading = (async () => {
    const decoder = new TextDecoder();
    for await (const piece of response.body ?? []) {
      const decoded = decoder.decode(piece as Uint8Array, { stream: true });
      text += decoded;
      rest += decoded;
      const blocks = rest.split('\n\n');
      rest = blocks.pop() ?? '';
      for (const block of blocks) {
        const line = /^data: (.*)$/m.exec(block)?.[1];
        if (line === undefined) continue;
        const id = /^id: (\d+)$/m.exec(block)?.[1];
        heard.push({
          id: id === undefined ? null : Number(id),
          event: JSON.parse(line) as FedEvent['event'],
        });
      }
    }
  })();
  reading.catch(() => undefined).finally(() => (ended = true));
  return {
    response,
    heard,
    text: () => text,
    ended: () => ended,
    async until(count) {
      for (let attempt = 0; heard.length < count + 1; attempt++) {
        if (attempt > 1200) throw new Error(`only ${heard.length} events came: ${text.slice(-500)}`);
        await new Promise((resolve) => setTimeout(resolve, 25));
      }
      return heard.slice(1);
    },
    stop: () => abort.abort(),
  };
}
