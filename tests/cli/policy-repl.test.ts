// `sallyport policy repl`: expressions on stdin, answers on stdout.
import assert from 'node:assert/strict';
import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { packageRoot } from '../../core/package.ts';
import { createHome, type CliHome } from './support/run-cli.ts';

let home: CliHome;
before(() => {
  home = createHome();
  for (const folder of ['config', 'policies', 'schemas'])
    cpSync(join(packageRoot, folder), join(home.folder, folder), { recursive: true });
  const claims = {
    iss: 'http://127.0.0.1:8081/5a11b0a7-0000-4000-8000-000000000000/v2.0',
    aud: 'api://sallyport',
    sub: 'ada',
    jti: 'j',
    client_id: '5a11b0a7-0000-4000-8000-000000000001',
    scp: 'LLM.Access',
    roles: ['LLM.User'],
    plan: 'free\u001b[31m',
  };
  writeFileSync(join(home.folder, 'claims.json'), JSON.stringify(claims));
  writeFileSync(join(home.folder, 'bad.json'), JSON.stringify({ ...claims, aud: 'another' }));
  writeFileSync(join(home.folder, 'body.json'), JSON.stringify({ max_tokens: 300, messages: [{}, {}] }));
});
after(() => home.remove());

const ask = (lines: readonly string[], ...words: string[]) =>
  home.run(['policy', 'repl', '--model', 'tiny-gpt2', ...words], { stdin: lines.join('\n') });

describe('policy repl', () => {
  it('evaluates every part of a rule for the claims and the request', async () => {
    const result = await ask(
      [
        'principal.roles',
        'request.max_tokens > 100 && request.message_count == 2',
        '',
        'request.max_tokens',
        'principal.claims.plan',
        'resource.upstream',
      ],
      '--claims',
      'claims.json',
      '--request',
      'body.json',
    );
    assert.equal(result.code, 0, result.stderr);
    assert.deepEqual(result.stdout.split('\n'), [
      '["LLM.User"]',
      'true',
      '300',
      '"free\\u001b[31m"',
      '"embedded"',
      '',
    ]);
  });

  it('says what is wrong with an expression, goes on with the next, and exits with 5', async () => {
    const result = await ask(
      ['principl.roles', 'principal.claims.nothing == 1', 'principal.subject'],
      '--claims',
      'claims.json',
    );
    assert.equal(result.code, 5, result.stderr);
    const [misspelt, absent, good] = result.stdout.split('\n');
    assert.match(misspelt ?? '', /^✗ .*did you mean principal\?$/);
    assert.match(absent ?? '', /^✗ .*nothing is permitted by this$/);
    assert.equal(good, '"ada"');
  });

  it('refuses what rules refuse: an expression whose work multiplies', async () => {
    const result = await ask(
      ['principal.roles.all(a, principal.groups.all(b, a == b))'],
      '--roles',
      'LLM.User',
    );
    assert.equal(result.code, 5);
    assert.match(result.stdout, /^✗ /);
  });

  it('prints one JSON object for each line with --json', async () => {
    const result = await ask(['1 + 1', 'nonsense('], '--roles', 'LLM.User', '--json');
    const [sum, fault] = result.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    assert.deepEqual(sum, { expression: '1 + 1', value: 2, fault: null });
    assert.equal(typeof fault?.['fault'], 'string');
  });

  it('refuses a credential that the policies refuse, an unknown action and a body that is none', async () => {
    assert.equal((await ask(['1'], '--claims', 'bad.json')).code, 6);
    assert.equal((await ask(['1'], '--roles', 'LLM.User', '--action', 'chat.sing')).code, 2);
    assert.equal((await ask(['1'], '--roles', 'LLM.User', '--request', 'nowhere.json')).code, 2);
    assert.equal((await ask(['1'])).code, 2);
  });
});
