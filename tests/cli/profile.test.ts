// Several sign-ins side by side: which one commands use, and how that is shown and changed.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { createHome, type CliHome } from './support/run-cli.ts';
import { storeSession } from './support/stored-session.ts';

let home: CliHome;
beforeEach(() => {
  home = createHome();
});
afterEach(() => home.remove());

const work = { gateway: 'https://llm.example.com', profile: 'work' };
const local = { gateway: 'http://127.0.0.1:8080' };

describe('sallyport profile', () => {
  it('list shows every sign-in and which one is in use', async () => {
    storeSession(home.stateFolder, work);
    storeSession(home.stateFolder, { ...local, username: 'ada' });
    const { code, stdout, stderr } = await home.run(['profile', 'list']);
    assert.equal(code, 0);
    assert.equal(stderr, '');
    assert.equal(
      stdout,
      '* default  http://127.0.0.1:8080    ada\n  work     https://llm.example.com  admin\n',
    );
  });

  it('list says so when nobody has signed in, with nothing on stdout', async () => {
    const { stdout, stderr } = await home.run(['profile', 'list']);
    assert.equal(stdout, '');
    assert.match(stderr, /sallyport login/);
  });

  it('list does not call somebody signed in whose sign-in has ended', async () => {
    storeSession(home.stateFolder, { ...local, refresh_token: null, expires_at: 1 });
    assert.match((await home.run(['profile', 'list'])).stdout, /not signed in$/m);
  });

  it('use changes what later commands take, and a flag or variable still goes first', async () => {
    storeSession(home.stateFolder, local);
    const { session } = storeSession(home.stateFolder, { ...work, access_token: 'a.b.c' });
    await home.run(['profile', 'use', 'work']);
    const gateway = ['--gateway', session.gateway];
    assert.equal((await home.run(['token', ...gateway])).stdout, 'a.b.c\n');
    const refused = await home.run(['token', ...gateway, '--profile', 'default']);
    assert.equal(refused.code, 4);
    assert.match(refused.stderr, /login --gateway \S+ --profile default$/m);
    assert.equal((await home.run(['token', ...gateway], { env: { SALLYPORT_PROFILE: 'default' } })).code, 4);
    assert.match((await home.run(['profile', 'use', 'default'])).stderr, /profile default/);
    assert.equal((await home.run(['token', ...gateway])).code, 4);
  });

  it('use refuses a profile that is not there, with the nearest one', async () => {
    storeSession(home.stateFolder, work);
    const { code, stderr } = await home.run(['profile', 'use', 'wrok']);
    assert.equal(code, 2);
    assert.match(stderr, /^✗ There is no profile wrok\.\n {2}Did you mean work\?$/m);
  });

  it('list --json prints one array, without a token', async () => {
    const { session } = storeSession(home.stateFolder, work);
    const { stdout } = await home.run(['profile', 'list', '--json']);
    assert.deepEqual(JSON.parse(stdout), [
      { profile: 'work', gateway: work.gateway, in_use: false, username: 'admin', signed_in: true },
    ]);
    assert.ok(!stdout.includes(session.access_token));
  });
});
