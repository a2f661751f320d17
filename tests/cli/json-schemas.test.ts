// What commands print with --json fits the schema under schemas/cli/, and every command that has the flag has a schema.
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { pino } from 'pino';
import { packageRoot } from '../../core/package.ts';
import { createAuditLog } from '../../gateway/accounting/audit-log.ts';
import { startTestIdentity, type TestIdentity } from '../identity/support.ts';
import { createHome, type CliHome } from './support/run-cli.ts';
import {
  startGateway,
  startIssuer,
  stream,
  type ScriptedGateway,
  type ScriptedIssuer,
} from './support/scripted-servers.ts';

const folder = join(packageRoot, 'schemas/cli');
const ajv = new Ajv2020({ allErrors: true, strict: true, allowUnionTypes: true });
addFormats.default(ajv);
let home: CliHome;
let issuer: ScriptedIssuer;
let gateway: ScriptedGateway;
let identity: TestIdentity;

before(async () => {
  home = createHome();
  issuer = await startIssuer();
  gateway = await startGateway(issuer.url);
  gateway.handlers['/v1/completions'] = (_, response) =>
    stream(response, [
      { model: 'tiny-gpt2', choices: [{ text: ' bright', finish_reason: 'stop' }] },
      { model: 'tiny-gpt2', choices: [], usage: { prompt_tokens: 1, completion_tokens: 1 } },
      '[DONE]',
    ]);
  const key = {
    id: '4fJx0aQm2Zt7',
    name: 'notebook',
    roles: ['LLM.User'],
    status: 'active',
    created_at: '2026-01-01T00:00:00.000Z',
    expires_at: '2036-01-01T00:00:00.000Z',
    last_used_at: null,
    revoked_at: null,
  };
  const send = (response: ServerResponse, value: unknown): unknown =>
    response.setHeader('content-type', 'application/json').end(JSON.stringify(value));
  gateway.handlers['/api-keys'] = ({ method }, response) =>
    send(response, method === 'POST' ? { ...key, key: 'sp_4fJx0aQm2Zt7_0123' } : [key]);
  gateway.handlers['/api-keys/4fJx0aQm2Zt7'] = (_, response) => send(response, key);
  identity = await startTestIdentity();
  writeFileSync(join(home.folder, 'sallyport.yaml'), `identity:\n  data: ${identity.data}\n`);
  writeFileSync(join(home.folder, 'apim.xml'), '<rate-limit calls="1" renewal-period="60" />');
  mkdirSync(join(home.folder, 'audit'));
  const auditLog = createAuditLog(join(home.folder, 'audit'), { log: pino({ level: 'silent' }) });
  auditLog.append({ event: 'request' });
  await auditLog.close();
});
after(async () => {
  home.remove();
  await issuer.close();
  await gateway.close();
  await identity.close();
});

/** Each line of stdout, checked against a schema. */
async function check(name: string, words: readonly string[]): Promise<unknown[]> {
  const { stdout, stderr } = await home.run([...words, '--json'], {
    env: { SALLYPORT_URL: gateway.url },
    stdin: '1 == 1\n',
  });
  assert.ok(stdout.endsWith('\n'), stderr);
  const validate = ajv.compile(JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8')));
  const values = stdout
    .trimEnd()
    .split('\n')
    .map((line): unknown => JSON.parse(line));
  for (const value of values) assert.ok(validate(value), ajv.errorsText(validate.errors));
  return values;
}

describe('--json', () => {
  const config = ['--config', 'sallyport.yaml'];
  const models = ['--directory', join(packageRoot, 'models')];
  const shipped = ['--config', join(packageRoot, 'config/sallyport.yaml')];
  const policies = join(packageRoot, 'policies');
  // In this order: a sign-in first, its end last.
  for (const [name, words] of [
    ['login', ['login']],
    ['whoami', ['whoami']],
    ['chat', ['chat', 'The future is']],
    ['token', ['token']],
    ['env', ['env']],
    ['connect', ['connect', 'openai-js']],
    ['doctor', ['doctor']],
    ['profile-list', ['profile', 'list']],
    ['model-list', ['model', 'list', ...models]],
    ['model-verify', ['model', 'verify', ...models]],
    ['account', ['account', 'add', 'ada', ...config]],
    ['account', ['account', 'grant', 'ada', 'LLM.Admin', ...config]],
    ['account-reset-password', ['account', 'reset-password', 'ada', ...config]],
    ['audit-verify', ['audit', 'verify', 'audit']],
    ['account-list', ['account', 'list', ...config]],
    ['account', ['account', 'sign-out', 'ada', ...config]],
    ['relation', ['relation', 'add', 'team:x#member@user:ada', ...config]],
    ['relation-list', ['relation', 'list', ...config]],
    ['relation', ['relation', 'remove', 'team:x#member@user:ada', ...config]],
    ['key-create', ['key', 'create']],
    ['key-list', ['key', 'list']],
    ['key-revoke', ['key', 'revoke', '4fJx0aQm2Zt7']],
    ['policy-check', ['policy', 'check', policies, ...shipped]],
    ['policy-test', ['policy', 'test', policies, '--mutate', ...shipped]],
    [
      'policy-explain',
      ['policy', 'explain', '--policies', policies, '--roles', 'x', '--action', 'models.list', ...shipped],
    ],
    ['policy-access', ['policy', 'access', policies, ...shipped]],
    ['policy-init', ['policy', 'init', 'policies']],
    ['policy-import-apim', ['policy', 'import', 'apim', 'apim.xml', ...shipped]],
    ['policy-replay', ['policy', 'replay', '--candidate', policies, ...shipped]],
    ['policy-repl', ['policy', 'repl', '--roles', 'LLM.User', ...shipped]],
    ['policy-fmt', ['policy', 'fmt', 'policies', ...shipped]],
    ['logout', ['logout']],
  ] as const) {
    it(`of ${words.slice(0, 2).join(' ')} fits ${name}.json`, async () => {
      const values = await check(name, words);
      assert.equal(values.length, name === 'login' ? 2 : 1);
      for (const value of values)
        assert.ok(!Array.isArray(value) || value.length > 0, 'an empty list shows nothing');
    });
  }

  it('has a schema wherever it is offered', async () => {
    const { stdout } = await home.run(['completion', 'bash']);
    const offered = [...stdout.matchAll(/^ +'([a-z -]+)'\) words='[^']*' flags='[^']*--json/gm)].map(
      (match) => match[1] ?? '',
    );
    assert.ok(offered.length > 10);
    const known = new Set(readdirSync(folder).map((file) => file.replace('.json', '')));
    const missing = offered.filter(
      (command) => !known.has(command.replaceAll(' ', '-')) && !known.has(command.split(' ')[0] ?? ''),
    );
    assert.deepEqual(missing, []);
  });
});
