// The whole gateway with the shipped policies in a folder of its own, a fake issuer and, unless told otherwise, a fake
// upstream: everything but the parts at our borders is real.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { packageRoot } from '../../core/package.ts';
import { gatewayConfigSchema, type GatewayConfig } from '../../gateway/config.ts';
import { startGateway, type RunningGateway } from '../../gateway/server.ts';
import { startFakeIssuer, type FakeIssuer } from './fake-issuer.ts';
import { json, startFakeUpstream, type FakeUpstream, type Script } from './fake-upstream.ts';

export interface TestGateway {
  readonly url: string;
  readonly internalUrl: string;
  readonly port: number;
  readonly running: RunningGateway;
  readonly issuer: FakeIssuer;
  readonly upstream: FakeUpstream;
  /** Folder of the policies in use: edits are picked up. */
  readonly policies: string;
  readonly auditFolder: string;
  /** An access token that the shipped policies accept: role LLM.User unless told otherwise. */
  mint(claims?: Readonly<Record<string, unknown>>): Promise<string>;
  close(): Promise<void>;
}

export interface TestGatewayOptions {
  readonly script?: Script;
  /** A real model server instead of the fake upstream. */
  readonly modelServer?: { readonly url: string; readonly jwksFile: string };
  readonly config?: Readonly<Record<string, unknown>>;
  /** False: node:http reads every request. */
  readonly ingress?: boolean;
  /** Replaces texts in the shipped policies: file name → [from, to] pairs. */
  readonly edit?: Readonly<Record<string, readonly (readonly [string, string])[]>>;
}

/** What an OpenAI-shaped upstream answers to a chat. */
export const chatAnswer = {
  id: 'chatcmpl-1',
  object: 'chat.completion',
  created: 1,
  model: 'tiny-gpt2',
  choices: [{ index: 0, message: { role: 'assistant', content: 'hello' }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 3, completion_tokens: 1, total_tokens: 4 },
};

/** Starts it on free ports of loopback. */
export async function startTestGateway(options: TestGatewayOptions = {}): Promise<TestGateway> {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-gateway-'));
  const policies = join(folder, 'policies');
  cpSync(join(packageRoot, 'policies'), policies, { recursive: true });
  // A suite sends more than a person does in a minute.
  const edits: Record<string, readonly (readonly [string, string])[]> = {
    'limits.yaml': [
      ['requests: 600,', 'requests: 100000,'],
      ['model_tokens: 100000,', 'model_tokens: 100000000,'],
      ['requests: 120,', 'requests: 100000,'],
      ['requests: 1000,', 'requests: 100000,'],
    ],
    ...options.edit,
  };
  for (const [file, pairs] of Object.entries(edits)) {
    let text = readFileSync(join(policies, file), 'utf8');
    for (const [from, to] of pairs) {
      if (!text.includes(from)) throw new Error(`${file} does not say "${from}"`);
      text = text.replace(from, to);
    }
    writeFileSync(join(policies, file), text);
  }
  const issuer = await startFakeIssuer();
  const upstream = await startFakeUpstream(options.script ?? json(chatAnswer));
  const config: GatewayConfig = gatewayConfigSchema.parse({
    listen: '127.0.0.1:0',
    internal_listen: '127.0.0.1:0',
    policies,
    // Tests edit the policies into what their own tests forbid.
    require_tests: false,
    data: join(folder, 'gateway'),
    assertion_jwks: options.modelServer?.jwksFile ?? join(folder, 'run', 'gateway-jwks.json'),
    embedded_issuer: issuer.issuer,
    upstreams: {
      embedded: {
        kind: 'openai',
        url: options.modelServer?.url ?? upstream.url,
        models: ['tiny-gpt2'],
        assertion: 'model-server',
      },
      accounts: { kind: 'http', url: upstream.url, assertion: 'identity' },
    },
    drain_ms: 1000,
    ...options.config,
  });
  const closeSurroundings = async (): Promise<void> => {
    await Promise.all([issuer.close(), upstream.close()]);
    rmSync(folder, { recursive: true, force: true });
  };
  const running = await startGateway(config, {
    log: pino({ level: 'silent' }),
    ingress: options.ingress ?? true,
  }).catch(async (error: unknown) => {
    await closeSurroundings();
    throw error;
  });
  return {
    url: running.address,
    internalUrl: running.internalAddress,
    port: Number(new URL(running.address).port),
    running,
    issuer,
    upstream,
    policies,
    auditFolder: join(config.data, 'audit'),
    mint: async (claims = {}) =>
      issuer.mint({
        aud: 'api://sallyport',
        azp: '5a11b0a7-0000-4000-8000-000000000001',
        client_id: '5a11b0a7-0000-4000-8000-000000000001',
        sub: 'alice',
        scp: 'LLM.Access',
        roles: ['LLM.User'],
        ...claims,
      }),
    async close() {
      await running.close();
      await closeSurroundings();
    },
  };
}
