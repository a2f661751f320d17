// The YAML language server that editors run (VS Code, Neovim, …), spoken to as an editor does: LSP over stdin and stdout.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { packageRoot } from '../../core/package.ts';

type Message = Readonly<Record<string, unknown>>;

/** A running server. */
export interface LanguageServer {
  request(method: string, params: unknown): Promise<unknown>;
  /** Opens a document and waits for what the server objects to in it. */
  open(uri: string, text: string): Promise<readonly { readonly message: string }[]>;
  close(): void;
}

const settings = {
  yaml: { hover: true, completion: true, validate: true, schemaStore: { enable: false } },
};

/** Starts the server and shakes hands. */
export async function startLanguageServer(): Promise<LanguageServer> {
  const file = join(packageRoot, 'node_modules/yaml-language-server/bin/yaml-language-server');
  const child = spawn(process.execPath, [file, '--stdio'], { stdio: ['pipe', 'pipe', 'ignore'] });
  const answers = new Map<number, (value: unknown) => void>();
  const diagnostics = new Map<string, (found: readonly { readonly message: string }[]) => void>();
  let lastId = 0;
  const send = (message: Message): void => {
    const text = JSON.stringify({ jsonrpc: '2.0', ...message });
    child.stdin.write(`Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`);
  };
  const receive = (message: Message): void => {
    const { id, method, params } = message;
    if (method === undefined) answers.get(Number(id))?.(message['result']);
    else if (method === 'textDocument/publishDiagnostics') {
      const { uri, diagnostics: found } = params as { uri: string; diagnostics: { message: string }[] }; // LSP.
      diagnostics.get(uri)?.(found);
    } else if (method === 'workspace/configuration') {
      const { items } = params as { items: { section?: string }[] }; // LSP.
      send({ id, result: items.map(({ section }) => (section === 'yaml' ? settings.yaml : null)) });
    } else if (id !== undefined) send({ id, result: null });
  };
  let unread = Buffer.alloc(0);
  child.stdout.on('data', (bytes: Buffer) => {
    unread = Buffer.concat([unread, bytes]);
    for (;;) {
      const head = unread.indexOf('\r\n\r\n');
      const length = Number(
        /Content-Length: (\d+)/i.exec(unread.subarray(0, Math.max(head, 0)).toString())?.[1],
      );
      if (head === -1 || unread.length < head + 4 + length) return;
      const text = unread.subarray(head + 4, head + 4 + length).toString();
      unread = unread.subarray(head + 4 + length);
      receive(JSON.parse(text) as Message); // One object, by the protocol.
    }
  });
  const request = (method: string, params: unknown): Promise<unknown> =>
    new Promise((resolve) => {
      answers.set(++lastId, resolve);
      send({ id: lastId, method, params });
    });
  await request('initialize', {
    processId: process.pid,
    rootUri: null,
    capabilities: {
      textDocument: { hover: {}, completion: {}, publishDiagnostics: {} },
      workspace: { configuration: true },
    },
  });
  send({ method: 'initialized', params: {} });
  send({ method: 'workspace/didChangeConfiguration', params: { settings } });
  return {
    request,
    open: (uri, text) =>
      new Promise((resolve) => {
        diagnostics.set(uri, resolve);
        const textDocument = { uri, languageId: 'yaml', version: 1, text };
        send({ method: 'textDocument/didOpen', params: { textDocument } });
      }),
    close: () => void child.kill(),
  };
}
