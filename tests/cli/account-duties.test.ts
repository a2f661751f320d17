// Duties that one person may not combine are refused when the role is given, not only when it is used.
import assert from 'node:assert/strict';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { parse } from 'yaml';
import { packageRoot } from '../../core/package.ts';
import { startTestIdentity, type TestIdentity } from '../identity/support.ts';
import { createHome, type CliHome } from './support/run-cli.ts';

let identity: TestIdentity;
let home: CliHome;
const account = (...words: string[]) => home.run(['account', ...words, '--config', 'sallyport.yaml']);
const rolesOf = async (username: string): Promise<readonly string[]> => {
  const { stdout } = await account('list', '--json');
  const accounts = JSON.parse(stdout) as { username: string; roles: string[] }[];
  return accounts.find((each) => each.username === username)?.roles ?? [];
};
const writeRoles = (text: string): void => writeFileSync(join(home.folder, 'policies/roles.yaml'), text);
const roles = `roles:
  LLM.User: { permits: [models.list], models: [tiny-gpt2] }
  LLM.Admin: { permits: [admin.*], models: ['*'] }
  Chief: { inherits: [LLM.Admin] }
  Auditor: { permits: [models.list], models: [tiny-gpt2] }
separation_of_duties: [[LLM.Admin, Auditor]]
`;

before(async () => {
  identity = await startTestIdentity();
  home = createHome();
  cpSync(join(packageRoot, 'policies'), join(home.folder, 'policies'), { recursive: true });
  const shipped = parse(readFileSync(join(packageRoot, 'config/sallyport.yaml'), 'utf8')) as {
    gateway: object;
  }; // Ours.
  writeFileSync(
    join(home.folder, 'sallyport.yaml'),
    JSON.stringify({ gateway: shipped.gateway, identity: { data: identity.data } }),
  );
  writeRoles(roles);
  await account('add', 'ada', '--role', 'Auditor');
});
after(async () => {
  home.remove();
  await identity.close();
});

describe('giving a role', () => {
  it('is done when the duties do not conflict', async () => {
    assert.equal((await account('grant', 'ada', 'LLM.User')).code, 0);
    assert.deepEqual(await rolesOf('ada'), ['Auditor', 'LLM.User']);
  });

  for (const role of ['LLM.Admin', 'Chief']) {
    it(`is refused for ${role}, which conflicts with a role that the account has`, async () => {
      const { code, stderr } = await account('grant', 'ada', role);
      assert.equal(code, 6);
      assert.match(stderr, /ada may not hold LLM\.Admin and Auditor together: separation_of_duties/);
      assert.ok(!(await rolesOf('ada')).includes(role));
    });
  }

  it('is refused for an account whose other duty is assigned to it in the policies', async () => {
    await account('add', 'bob', '--role', 'LLM.User');
    const { stdout } = await account('list', '--json');
    const bob = (JSON.parse(stdout) as { username: string; id: string }[]).find(
      ({ username }) => username === 'bob',
    );
    writeRoles(`${roles}assignments:\n  - { role: Auditor, subjects: [${bob?.id}] }\n`);
    const { code } = await account('grant', 'bob', 'LLM.Admin');
    writeRoles(roles);
    assert.equal(code, 6);
  });

  it('is refused while the policies have a fault, since nobody knows what the role permits', async () => {
    writeRoles(`${roles}colour: red\n`);
    const { code } = await account('grant', 'ada', 'LLM.Admin');
    writeRoles(roles);
    assert.equal(code, 3);
    assert.ok(!(await rolesOf('ada')).includes('LLM.Admin'));
  });
});
