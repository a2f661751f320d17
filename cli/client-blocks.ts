// The blocks of `sallyport connect`. Each is a whole program; none holds a token: all ask for one when they run.
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { packageRoot } from '../core/package.ts';
import { profileInUse } from './profiles.ts';

/** The clients that there is a block for. */
export const clientNames = ['openai-js', 'openai-python', 'azure-js', 'curl', 'env'] as const;
export type ClientName = (typeof clientNames)[number];

/** What a block is filled with. */
export interface BlockContext {
  readonly gateway: string;
  readonly profile: string;
  readonly model: string;
  readonly certificateAuthority: string | undefined;
}

/** A block and the name under which it is usually saved. */
export interface ClientBlock {
  readonly file: string | null;
  readonly text: string;
}

/** Makes the block for a client. */
export function clientBlock(client: ClientName, context: BlockContext): ClientBlock {
  switch (client) {
    case 'openai-js':
      return { file: 'example.mjs', text: openAiJs(context) };
    case 'azure-js':
      return { file: 'example.mjs', text: azureJs(context) };
    case 'openai-python':
      return { file: 'example.py', text: openAiPython(context) };
    case 'curl':
      return { file: null, text: curl(context) };
    case 'env':
      return { file: null, text: `eval "$(${commandLine('env', context)})"\n` };
  }
}

function openAiJs(context: BlockContext): string {
  return `${javaScriptHead(context)}import OpenAI from 'openai';
import { tokenProvider } from ${literal(tokenModule())};

const client = new OpenAI({
  baseURL: ${literal(`${context.gateway}/v1`)},
  apiKey: tokenProvider(${providerOptions(context)}), // Asked before every attempt; renews by itself.
});
${javaScriptCall(context)}`;
}

function azureJs(context: BlockContext): string {
  return `${javaScriptHead(context)}import { AzureOpenAI } from 'openai';
import { tokenProvider } from ${literal(tokenModule())};

const client = new AzureOpenAI({
  endpoint: ${literal(context.gateway)},
  apiVersion: '2024-10-21',
  azureADTokenProvider: tokenProvider(${providerOptions(context)}),
});
${javaScriptCall(context)}`;
}

function javaScriptHead({ certificateAuthority }: BlockContext): string {
  const environment =
    certificateAuthority === undefined
      ? ''
      : `NODE_EXTRA_CA_CERTS=${shellWord(resolve(certificateAuthority))} `;
  return `// npm install openai; save as example.mjs; then:  ${environment}node example.mjs\n`;
}

function javaScriptCall({ model }: BlockContext): string {
  return `const stream = await client.chat.completions.create({
  model: ${literal(model)},
  messages: [{ role: 'user', content: 'The future of AI is' }],
  max_completion_tokens: 48,
  stream: true,
});
for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta?.content ?? '');
process.stdout.write('\\n');
`;
}

function openAiPython(context: BlockContext): string {
  const words = [join(packageRoot, 'bin/sallyport'), 'token', '--json', ...connectionFlags(context)];
  const trust =
    context.certificateAuthority === undefined
      ? ''
      : `, http_client=httpx.Client(verify=ssl.create_default_context(cafile=${pythonLiteral(resolve(context.certificateAuthority))}))`;
  const imports = trust === '' ? '' : 'import ssl\n';
  const httpx = trust === '' ? '' : 'import httpx\n';
  return `# pip install openai; save as example.py; then:  python example.py
import json
${imports}import subprocess
import time

${httpx}from openai import OpenAI

_cached = {"expires_at": 0}


def access_token():
    """Asked before every attempt; renews by itself."""
    if _cached["expires_at"] - time.time() < 60:
        _cached.update(json.loads(subprocess.check_output([${words.map(pythonLiteral).join(', ')}])))
    return _cached["access_token"]


client = OpenAI(base_url=${pythonLiteral(`${context.gateway}/v1`)}, api_key=access_token${trust})
stream = client.chat.completions.create(
    model=${pythonLiteral(context.model)},
    messages=[{"role": "user", "content": "The future of AI is"}],
    max_completion_tokens=48,
    stream=True,
)
for chunk in stream:
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)
print()
`;
}

// The header goes through a pipe: on a command line every user of the machine could read the token.
function curl(context: BlockContext): string {
  const trust =
    context.certificateAuthority === undefined
      ? ''
      : ` --cacert ${shellWord(resolve(context.certificateAuthority))}`;
  const body = JSON.stringify({ model: context.model, prompt: 'The future of AI is', max_tokens: 48 });
  return `${commandLine('token', context)} | sed 's/^/authorization: Bearer /' |
  curl -sS -H @- -H 'content-type: application/json'${trust} \\
    ${shellWord(`${context.gateway}/v1/completions`)} -d ${shellWord(body)}
echo
`;
}

/** This command by absolute path: direct calls take a tenth of what npx takes. */
function commandLine(command: string, context: BlockContext): string {
  return [join(packageRoot, 'bin/sallyport'), command, ...connectionFlags(context)].map(shellWord).join(' ');
}

function connectionFlags({ gateway, profile }: BlockContext): readonly string[] {
  return ['--gateway', gateway, ...(isTakenAnyway(profile) ? [] : ['--profile', profile])];
}

/** Whether a block may leave the profile out. */
function isTakenAnyway(profile: string): boolean {
  return profile === 'default' && profileInUse() === 'default';
}

function providerOptions({ gateway, profile, certificateAuthority }: BlockContext): string {
  const options = [
    `gateway: ${literal(gateway)}`,
    ...(isTakenAnyway(profile) ? [] : [`profile: ${literal(profile)}`]),
    ...(certificateAuthority === undefined
      ? []
      : [`certificateAuthority: ${literal(resolve(certificateAuthority))}`]),
  ];
  return `{ ${options.join(', ')} }`;
}

/** `sallyport/token` where the current folder can import it, else the module's own URL. */
function tokenModule(): string {
  try {
    createRequire(join(process.cwd(), 'example.mjs')).resolve('sallyport/token');
    return 'sallyport/token';
  } catch {
    return new URL(
      import.meta.url.endsWith('.ts') ? './token-provider.ts' : './token-provider.js',
      import.meta.url,
    ).href;
  }
}

function literal(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", String.raw`\'`)}'`;
}

function pythonLiteral(text: string): string {
  return JSON.stringify(text); // Every JSON string is a Python string literal.
}

function shellWord(text: string): string {
  return /^[A-Za-z0-9_./:@%+=-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
