// A started gateway that decides for other services, by the policies of a folder laid over the shipped ones.
import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../core/package.ts';
import { startTestGateway, type TestGateway } from '../support/start-gateway.ts';

export interface AccessGateway extends TestGateway {
  /** Asks an endpoint below /access/v1/ as a service that may; a text is sent as it is. */
  ask(endpoint: string, body: unknown, headers?: Readonly<Record<string, string>>): Promise<AccessAnswer>;
}

export interface AccessAnswer {
  readonly status: number;
  readonly headers: Headers;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- parsed JSON of an answer, asserted by the tests.
  readonly json: any;
}

/** Starts it; `files` replace policy files, `folder` is one below tests/conformance/authzen. */
export async function startAccessGateway(
  folder: string | null,
  files: Readonly<Record<string, string>> = {},
): Promise<AccessGateway> {
  const gateway = await startTestGateway();
  // The tests of the shipped policies are not about these.
  rmSync(join(gateway.policies, 'tests'), { recursive: true });
  const laid = { ...(folder === null ? {} : filesIn(folder)), ...files };
  for (const [name, text] of Object.entries(laid)) writeFileSync(join(gateway.policies, name), text);
  await gateway.running.reload();
  const ready = await (await fetch(`${gateway.internalUrl}/readyz`)).text();
  if (ready.includes('.yaml')) throw new Error(`the policies are not in use: ${ready}`);
  const accessToken = await gateway.mint({ sub: 'asking-service', roles: ['Access.Evaluator'] });
  return {
    ...gateway,
    async ask(endpoint, body, headers = {}) {
      const response = await fetch(`${gateway.url}/access/v1/${endpoint}`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${accessToken}`,
          'content-type': 'application/json',
          ...headers,
        },
        body: typeof body === 'string' ? body : JSON.stringify(body),
      });
      return { status: response.status, headers: response.headers, json: await response.json() };
    },
  };
}

const root = join(packageRoot, 'tests/conformance/authzen');

function filesIn(folder: string): Record<string, string> {
  return Object.fromEntries(
    readdirSync(join(root, folder)).map((name) => [name, readFileSync(join(root, folder, name), 'utf8')]),
  );
}

/** A file of vectors. */
export function vectorsIn(name: string): Record<string, { request: object; expected: unknown }[]> {
  return JSON.parse(readFileSync(join(root, name), 'utf8'));
}
