// Connections that are kept for the next question, through undici, which looks at an idle connection for stray bytes before
// it uses it again. It is loaded with the first question: a gateway that asks nobody never holds it.
import { getCACertificates } from 'node:tls';
import type { Agent, Dispatcher, request as undiciRequest } from 'undici';

/** Where the connections lead and how many there may be. */
export interface KeptConnectionsOptions {
  readonly connections: number;
  readonly connectMs: number;
  /** PEM text of a further certificate authority. */
  readonly ca?: string | undefined;
  /** PEM texts with which the gateway shows who it is. */
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly socketPath?: string | null;
  /** Loads undici now: questions are certain to come, and the first should not wait for it. Default: false. */
  readonly loadsNow?: boolean;
}

/** What one question says beside its address. */
export type KeptRequest = Omit<NonNullable<Parameters<typeof undiciRequest>[1]>, 'dispatcher'>;

/** Connections that are opened when they are needed. */
export interface KeptConnections {
  /** As undici's `request`: redirects are not followed. */
  request(url: string, request: KeptRequest): Promise<Dispatcher.ResponseData<unknown>>;
  /** Ends them all; questions under way fail. */
  destroy(): Promise<void>;
}

interface Opened {
  readonly agent: Agent;
  readonly request: typeof undiciRequest;
}

/** Prepares connections; opens none. */
export function keptConnections(options: KeptConnectionsOptions): KeptConnections {
  let opened: Promise<Opened> | null = null;
  let isDestroyed = false;
  const open = async (): Promise<Opened> => {
    const { Agent, request } = await import('undici');
    return { agent: new Agent(agentOptions(options)), request };
  };
  const ready = (): Promise<Opened> =>
    (opened ??= open().catch((error: unknown) => {
      opened = null; // The next question tries again.
      throw error;
    }));
  if (options.loadsNow === true) ready().catch(() => undefined);
  return {
    async request(url, question) {
      const { agent, request } = await ready();
      if (isDestroyed) throw new Error('the connections are closed');
      return request(url, { ...question, dispatcher: agent });
    },
    async destroy() {
      isDestroyed = true;
      await (await opened?.catch(() => null))?.agent.destroy();
    },
  };
}

function agentOptions({
  connections,
  connectMs,
  ca,
  cert,
  key,
  socketPath,
}: KeptConnectionsOptions): Agent.Options {
  return {
    connections,
    maxHeaderSize: 16_384,
    connect: {
      timeout: connectMs,
      ...(socketPath === undefined || socketPath === null ? {} : { socketPath }),
      ...(ca === undefined ? {} : { ca: [...getCACertificates('default'), ca] }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
    },
  };
}
