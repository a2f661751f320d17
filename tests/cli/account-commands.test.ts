// whoami, logout, env, connect and doctor against scripted servers.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { createHome, type CliHome } from './support/run-cli.ts';
import {
  json,
  refuse,
  startGateway,
  startIssuer,
  type ScriptedGateway,
  type ScriptedIssuer,
} from './support/scripted-servers.ts';
import { justExpired, storeSession } from './support/stored-session.ts';

let home: CliHome;
let issuer: ScriptedIssuer;
let gateway: ScriptedGateway;

beforeEach(async () => {
  home = createHome();
  issuer = await startIssuer();
  gateway = await startGateway(issuer.url);
});
afterEach(async () => {
  home.remove();
  await issuer.close();
  await gateway.close();
});

const store = (changes: Partial<Parameters<typeof storeSession>[1]> = {}) =>
  storeSession(home.stateFolder, { gateway: gateway.url, issuer: issuer.url, ...changes });
const run = (command: string, ...words: string[]) => home.run([command, '--gateway', gateway.url, ...words]);

describe('sallyport whoami', () => {
  it('shows subject, issuer, roles and where they are from, models, expiry and file', async () => {
    const { file } = store();
    const { stdout, code } = await run('whoami');
    assert.equal(code, 0);
    const rows = Object.fromEntries(
      stdout
        .trimEnd()
        .split('\n')
        .map((line) => [line.slice(0, 9).trim(), line.slice(9)]),
    );
    assert.equal(rows['name'], 'admin');
    assert.equal(rows['subject'], 'subject-1');
    assert.equal(rows['issuer'], issuer.url);
    assert.equal(rows['roles'], 'LLM.User, LLM.Admin   (claim roles of the access token)');
    assert.equal(rows['models'], 'tiny-gpt2');
    assert.match(rows['expires'] ?? '', /^\d{4}-.*Z \(in 60 min\), renewed by itself$/);
    assert.equal(rows['file'], file.replace(home.folder, '~'));
  });

  it('shows what is left of the request limit when the gateway says it', async () => {
    store();
    gateway.handlers['/v1/models'] = (_, response) =>
      json(
        response,
        200,
        { data: [] },
        { 'x-ratelimit-limit-requests': '60', 'x-ratelimit-remaining-requests': '59' },
      );
    const { stdout } = await run('whoami');
    assert.match(stdout, /^limit {4}59 of 60 requests left$/m);
    assert.match(stdout, /^models {3}none$/m);
  });

  it('prints the same as JSON, without a token', async () => {
    const { session } = store();
    const { stdout } = await run('whoami', '--json');
    const view = JSON.parse(stdout);
    assert.deepEqual(view.roles, [
      { role: 'LLM.User', from: 'claim roles' },
      { role: 'LLM.Admin', from: 'claim roles' },
    ]);
    assert.deepEqual(view.models, ['tiny-gpt2']);
    assert.ok(!stdout.includes(session.access_token) && !stdout.includes('refresh-0'));
  });

  it('still shows the sign-in when the gateway refuses, and exits as the refusal does', async () => {
    store();
    gateway.handlers['/v1/models'] = (_, response) =>
      refuse(response, 401, 'invalid_token', 'The access token is not valid here.');
    const { stdout, stderr, code } = await run('whoami');
    assert.match(stdout, /^models {3}unknown/m);
    assert.match(stderr, /invalid_token/);
    assert.equal(code, 4);
  });

  it('replaces control characters in claims', async () => {
    store({ username: 'eve\u001b[2J' });
    assert.match((await run('whoami')).stdout, /^name {5}eve\?\[2J$/m);
  });
});

describe('sallyport logout', () => {
  it('revokes the refresh token at its issuer and deletes the file', async () => {
    const { file } = store();
    const result = await run('logout');
    assert.deepEqual(result, { code: 0, stdout: '', stderr: `✓ Signed out of ${gateway.url}\n` });
    const revocation = issuer.requests.find((request) => request.path === '/revoke');
    assert.equal(new URLSearchParams(revocation?.body).get('token'), 'refresh-0');
    assert.ok(!existsSync(file));
  });

  it('deletes also when the issuer cannot be told, and says so', async () => {
    const { file } = store();
    await issuer.close();
    const result = await run('logout');
    assert.match(result.stderr, /^✗ Deleted here, but the sign-in server could not be told\./);
    assert.equal(result.code, 8);
    assert.ok(!existsSync(file));
  });

  it('ends every sign-in with --all', async () => {
    store();
    store({ profile: 'work' });
    const result = await home.run(['logout', '--all', '--json']);
    assert.deepEqual(
      JSON.parse(result.stdout).map((ended: { profile: string; revoked: boolean }) => [
        ended.profile,
        ended.revoked,
      ]),
      [
        ['default', true],
        ['work', true],
      ],
    );
    assert.equal((await run('token')).code, 4);
  });

  it('deletes a damaged file', async () => {
    const { file } = store();
    writeFileSync(file, '{');
    await run('logout');
    assert.ok(!existsSync(file));
  });

  it('says so when nobody was signed in', async () => {
    assert.deepEqual(await run('logout'), { code: 0, stdout: '', stderr: 'You were not signed in.\n' });
  });
});

describe('sallyport env', () => {
  it('prints assignments that a shell evaluates', async () => {
    const { session } = store();
    const { stdout } = await run('env');
    const shown = execFileSync('sh', ['-c', `${stdout}printf '%s %s' "$OPENAI_BASE_URL" "$OPENAI_API_KEY"`], {
      encoding: 'utf8',
    });
    assert.equal(shown, `${gateway.url}/v1 ${session.access_token}`);
  });

  it('quotes whatever a token holds', async () => {
    const { session } = store({ access_token: "a'; echo owned; '$(id)`id`" });
    const { stdout } = await run('env');
    const shown = execFileSync('sh', ['-c', `${stdout}printf '%s' "$OPENAI_API_KEY"`], { encoding: 'utf8' });
    assert.equal(shown, session.access_token);
  });
});

describe('sallyport connect', () => {
  it('prints blocks without any token, for the live address and a permitted model', async () => {
    const { session } = store();
    gateway.handlers['/v1/models'] = (_, response) => json(response, 200, { data: [{ id: 'other-model' }] });
    for (const client of ['openai-js', 'openai-python', 'azure-js', 'curl']) {
      const { stdout, code } = await run('connect', client);
      assert.equal(code, 0);
      assert.ok(stdout.includes(gateway.url) && stdout.includes('other-model'), client);
      assert.ok(!stdout.includes(session.access_token), client);
    }
  });

  it('prints them also when nobody is signed in', async () => {
    const { stdout, code } = await run('connect', 'openai-js');
    assert.equal(code, 0);
    assert.match(stdout, /model: 'tiny-gpt2'/);
  });

  it('names the clients that there are for an unknown one', async () => {
    const result = await run('connect', 'cobol');
    assert.equal(result.code, 2);
    assert.match(result.stderr, /openai-js, openai-python, azure-js, curl, env/);
  });

  it('prints a curl block that a shell runs, the token kept off the command line', async () => {
    const { session } = store();
    const { stdout } = await run('connect', 'curl');
    assert.doesNotMatch(stdout, /Bearer .*eyJ/);
    // The block calls the installed command; here it is stood in for by the source.
    const block = stdout.replace(
      /^\S*bin\/sallyport/,
      `'${process.execPath}' '${join(import.meta.dirname, '../../cli/main.ts')}'`,
    );
    gateway.handlers['/v1/completions'] = (request, response) =>
      json(response, 200, { authorization: request.headers.authorization, body: JSON.parse(request.body) });
    const answer = await runShell(block);
    assert.equal(JSON.parse(answer).authorization, `Bearer ${session.access_token}`);
    assert.equal(JSON.parse(answer).body.model, 'tiny-gpt2');
  });

  it('prints a JavaScript block that runs as it is', async () => {
    store();
    const file = join(import.meta.dirname, `example-${process.pid}.mjs`);
    const { stdout } = await run('connect', 'openai-js');
    gateway.handlers['/v1/chat/completions'] = (_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.end(
        `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content: 'It runs.' } }] })}\n\ndata: [DONE]\n\n`,
      );
    };
    // From source there is no dist/ to import; the module's own URL is what the block prints elsewhere.
    const source = stdout.replace(
      /from '[^']*token[^']*'/,
      `from '${new URL('../../cli/token-provider.ts', import.meta.url).href}'`,
    );
    writeFileSync(file, source);
    try {
      assert.equal(await runShell(`'${process.execPath}' '${file}'`), 'It runs.\n');
    } finally {
      execFileSync('rm', [file]);
    }
  });
});

describe('sallyport doctor', () => {
  const marks = (stdout: string) =>
    stdout
      .split('\n')
      .flatMap((line) => (/^[✓✗-] /.test(line) ? [`${line[0]} ${line.slice(2, 16).trim()}`] : []));

  it('finds nothing to repair on a whole way, and exits with 0', async () => {
    store();
    const { stdout, code } = await run('doctor');
    assert.deepEqual(marks(stdout), [
      '✓ runtime',
      '✓ gateway',
      '✓ transport',
      '✓ gateway clock',
      '✓ discovery',
      '✓ issuer clock',
      '✓ ready',
      '✓ sign-in',
      '✓ models',
      '- model server',
    ]);
    assert.equal(code, 0);
  });

  it('prints no token and no refresh token', async () => {
    const { session } = store();
    const { stdout, stderr } = await run('doctor', '--json');
    assert.ok(!(stdout + stderr).includes(session.access_token) && !(stdout + stderr).includes('refresh-0'));
    assert.equal(JSON.parse(stdout)[0].check, 'runtime');
  });

  it('names the repair when nothing answers', async () => {
    await gateway.close();
    const { stdout, code } = await run('doctor');
    assert.match(stdout, /^✗ gateway {8}Nothing answers at .*\n {17}Is it running\? {2}npm start$/m);
    assert.equal(code, 1);
  });

  it('tells a clock that differs', async () => {
    store();
    gateway.handlers['/healthz'] = (_, response) =>
      json(response, 200, {}, { date: new Date(Date.now() - 300_000).toUTCString() });
    const { stdout, code } = await run('doctor');
    assert.match(
      stdout,
      /^✗ gateway clock {2}differs from this machine by (299|300|301) s\n {17}set both clocks by NTP/m,
    );
    assert.equal(code, 1);
  });

  it('tells a gateway that is not ready, with its reason', async () => {
    store();
    gateway.handlers['/readyz'] = (_, response) =>
      json(response, 503, { status: 'not ready', issuer: 'unreachable' });
    const { stdout, code } = await run('doctor');
    assert.match(stdout, /^✗ ready {10}status 503: .*unreachable/m);
    assert.equal(code, 1);
  });

  it('tells a sign-in that others can read, one that has ended, and none', async () => {
    const { file } = store();
    chmodSync(file, 0o644);
    assert.match((await run('doctor')).stdout, /^✗ sign-in .*\n {17}Close it: {2}chmod 600/m);
    store({ expires_at: justExpired(), refresh_token: null });
    assert.match((await run('doctor')).stdout, /^✗ sign-in {8}Your sign-in has ended/m);
    execFileSync('rm', [file]);
    assert.match(
      (await run('doctor')).stdout,
      /^✗ sign-in {8}nobody is signed in .*\n {17}sallyport login --gateway http:\S+$/m,
    );
  });

  it('tells a model server that answers without the assertion of the gateway, and one whose socket is open', async () => {
    store();
    mkdirSync(join(home.folder, 'data/run'), { recursive: true });
    const socket = join(home.folder, 'data/run/model.sock');
    let status = 200;
    const server = createServer((_, response) => void response.writeHead(status).end());
    await new Promise<void>((resolve) => server.listen(socket, resolve));
    try {
      chmodSync(socket, 0o600);
      assert.match((await run('doctor')).stdout, /^✗ model server {3}it answers without/m);
      status = 401;
      assert.match((await run('doctor')).stdout, /^✓ model server {3}refuses everybody but the gateway/m);
      chmodSync(socket, 0o666);
      assert.match(
        (await run('doctor')).stdout,
        /^✗ model server {3}others can open its socket \(mode 666\)/m,
      );
    } finally {
      server.close();
    }
  });
});

async function runShell(script: string): Promise<string> {
  const { spawn } = await import('node:child_process');
  const child = spawn('sh', ['-c', script], { env: { ...home.env }, stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  await new Promise((resolve) => child.on('close', resolve));
  return text;
}
