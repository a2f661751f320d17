// Policy directories for the tests: a small good bundle, written to a temporary folder, changed where a test says so.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PolicyContext } from '../../../gateway/policies/context.ts';

export const context: PolicyContext = {
  models: new Map([
    ['tiny-gpt2', 'embedded'],
    ['premium-large', 'embedded'],
    ['premium-small', 'embedded'],
  ]),
  upstreams: new Map([
    ['embedded', 'openai'],
    ['accounts', 'http'],
  ]),
  embeddedIssuer: 'http://127.0.0.1:8081/5a11b0a7-0000-4000-8000-000000000000/v2.0',
  clientCertificates: 'verified',
};

export const goodFiles: Readonly<Record<string, string>> = {
  'issuers.yaml': `issuers:
  embedded:
    issuer: embedded
    audiences: [api://sallyport]
    client_ids: [cli]
    required_claims: { scp: { all: [LLM.Access] } }
`,
  'roles.yaml': `roles:
  LLM.User:
    permits: [models.list, chat.completions.create]
    models: [tiny-gpt2]
  LLM.Admin:
    inherits: [LLM.User]
    permits: [admin.*]
    models: ['*']
assignments:
  - { role: LLM.User, groups: [readers] }
`,
  'limits.yaml': `limits:
  requests: { by: principal, requests: 60, window: 1m }
  address: { by: caller_address, requests: 20, window: 1m }
`,
  'guards.yaml': `guards:
  words: { kind: denied_words, words: [forbidden] }
  ceilings: { kind: parameter_ceilings, max_tokens: 100 }
`,
  'routes.yaml': `routes:
  models: { path: /v1/models, methods: [GET], kind: models, action: models.list, limits: [requests] }
  chat:
    path: /v1/chat/completions
    methods: [POST]
    kind: openai
    action: chat.completions.create
    limits: [requests]
    guards: [words, ceilings]
  register: { path: /users, methods: [POST], kind: http, upstream: accounts, action: accounts.register, anonymous: true, limits: [address] }
  users: { path: /admin/users, methods: [GET], kind: http, upstream: accounts, action: admin.users.list, limits: [requests] }
`,
};

/** Writes a bundle; a file given as null is left out. The folder is removed by `remove`. */
export function writePolicies(changes: Readonly<Record<string, string | null>> = {}): {
  directory: string;
  remove: () => void;
} {
  const directory = mkdtempSync(join(tmpdir(), 'sallyport-policies-'));
  for (const [name, text] of Object.entries({ ...goodFiles, ...changes })) {
    if (text !== null) writeFileSync(join(directory, name), text);
  }
  return { directory, remove: () => rmSync(directory, { recursive: true, force: true }) };
}

/** A good file with one piece of text replaced; fails when the piece is not there. */
export function edited(name: string, from: string, to: string): Record<string, string> {
  const text = goodFiles[name];
  if (text?.includes(from) !== true) throw new Error(`${name} does not hold ${from}`);
  return { [name]: text.replace(from, to) };
}
