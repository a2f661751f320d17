/* eslint-disable @typescript-eslint/no-explicit-any, @typescript-eslint/restrict-plus-operands -- JSON of answers is asserted, not typed. */
// Starts a real model server with the shipped model on a Unix socket, and speaks to it as the gateway does.
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SignJWT } from 'jose';
import { assertionAudience, assertionHeader, assertionIssuer, assertionType } from '../../core/assertion.ts';
import { createLog } from '../../core/log.ts';
import { packageRoot } from '../../core/package.ts';
import { modelServerConfigSchema } from '../../model-server/config.ts';
import { startModelServer, type RunningModelServer } from '../../model-server/server.ts';

export const modelPath = join(packageRoot, 'models/tiny-gpt2.gguf');

export interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly text: string;
  readonly json: any;
}

export interface Call {
  readonly method?: string;
  readonly body?: unknown;
  readonly raw?: string | Buffer;
  readonly headers?: Record<string, string>;
  /** Null: none is sent. */
  readonly assertion?: string | null;
  readonly subject?: string;
}

export interface Gateway {
  readonly server: RunningModelServer;
  readonly folder: string;
  readonly socket: string;
  readonly assert: (changes?: {
    subject?: string;
    clientId?: string;
    audience?: string;
    expiresAt?: number;
    issuedAt?: number;
    key?: KeyObject;
    type?: string;
  }) => Promise<string>;
  readonly call: (path: string, call?: Call) => Promise<Answer>;
  /** The response as it comes, for streams and for leaving early. */
  readonly open: (path: string, call: Call) => Promise<IncomingMessage>;
  readonly close: () => Promise<void>;
}

/** A folder with a gateway's key pair in it. */
export function createGatewayKeys(): { folder: string; jwks: string; key: KeyObject } {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-model-'));
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const jwks = join(folder, 'gateway-jwks.json');
  writeFileSync(
    jwks,
    JSON.stringify({
      keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'g1', alg: 'EdDSA', use: 'sig' }],
    }),
  );
  return { folder, jwks, key: privateKey };
}

export async function startGateway(
  settings: Record<string, unknown> = {},
  model: Record<string, unknown> = {},
): Promise<Gateway> {
  const { folder, jwks, key: gatewayKey } = createGatewayKeys();
  const socket = join(folder, 'run', 'model.sock');
  const config = modelServerConfigSchema.parse({
    listen: `unix:${socket}`,
    gateway_jwks: jwks,
    threads: 1,
    models: { 'tiny-gpt2': { path: modelPath, ...model } },
    ...settings,
  });
  const server = await startModelServer(config, createLog('model-server', 'silent'));

  const assert: Gateway['assert'] = (changes = {}) => {
    const now = Math.floor(Date.now() / 1000);
    return new SignJWT({ roles: ['LLM.User'], client_id: changes.clientId ?? 'test' })
      .setProtectedHeader({ alg: 'EdDSA', kid: 'g1', typ: changes.type ?? assertionType })
      .setIssuer(assertionIssuer)
      .setSubject(changes.subject ?? 'issuer|alice')
      .setAudience(changes.audience ?? assertionAudience.modelServer)
      .setIssuedAt(changes.issuedAt ?? now)
      .setExpirationTime(changes.expiresAt ?? now + 60)
      .sign(changes.key ?? gatewayKey);
  };

  const open: Gateway['open'] = async (path, { method, body, raw, headers, assertion, subject }) => {
    const payload = raw ?? (body === undefined ? undefined : JSON.stringify(body));
    const signed =
      assertion === undefined ? await assert(subject === undefined ? {} : { subject }) : assertion;
    return new Promise((resolve, reject) => {
      const request = httpRequest({
        socketPath: socket,
        path,
        method: method ?? (payload === undefined ? 'GET' : 'POST'),
        agent: false,
        headers: {
          ...(payload === undefined ? {} : { 'content-type': 'application/json' }),
          ...(signed === null ? {} : { [assertionHeader]: signed }),
          ...headers,
        },
      });
      request.on('response', resolve);
      request.on('error', reject);
      request.end(payload);
    });
  };

  const call: Gateway['call'] = async (path, options = {}) => {
    const response = await open(path, options);
    const text = await textOf(response);
    let json: unknown = null;
    try {
      json = JSON.parse(text);
    } catch {
      // Not every answer is JSON.
    }
    return { status: response.statusCode ?? 0, headers: response.headers, text, json };
  };

  return {
    server,
    folder,
    socket,
    assert,
    call,
    open,
    close: async () => {
      await server.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export async function textOf(response: IncomingMessage): Promise<string> {
  let text = '';
  response.setEncoding('utf8');
  for await (const piece of response) text += piece;
  return text;
}

/** The JSON of each `data:` event; `[DONE]` as that string. */
export function eventsOf(text: string): any[] {
  return text
    .split('\n\n')
    .filter((block) => block.startsWith('data: '))
    .map((block) => (block === 'data: [DONE]' ? '[DONE]' : JSON.parse(block.slice(6))));
}

/** Memory of a process; Linux and macOS have ps. */
export function residentBytes(processId: number): number {
  return Number(execFileSync('ps', ['-o', 'rss=', '-p', String(processId)], { encoding: 'utf8' })) * 1024;
}

/** Waits until `condition` holds, by asking again; fails after ten seconds. */
export async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (let attempt = 0; attempt < 500; attempt++) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`never happened: ${what}`);
}
