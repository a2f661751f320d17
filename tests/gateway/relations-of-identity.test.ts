// The gateway with the real identity server: relations that change there decide here.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { openForAdministration } from '../../identity/administration.ts';
import { changeRelations } from '../../identity/relations/relations.ts';
import { parseTuple } from '../../identity/relations/tuple.ts';
import { createEventLog } from '../../identity/revocation/event-log.ts';
import type { Database } from '../../identity/storage/database.ts';
import { startTestIdentity, type TestIdentity } from '../identity/support.ts';
import { eventually } from '../support/serve.ts';
import { startTestGateway, type TestGateway } from '../support/start-gateway.ts';

const types = { user: {}, team: { member: ['user'] }, model: { viewer: ['user', 'team#member'] } };
const asking = `rules:
  - { name: viewers, effect: deny, models: ['*'], when: '!related("viewer", "model:" + request.model)' }`;

describe('relations that identity holds', () => {
  let folder: string;
  let identity: TestIdentity;
  let database: Database;
  let gateway: TestGateway;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'sallyport-relations-'));
    const jwks = join(folder, 'gateway-jwks.json');
    identity = await startTestIdentity({ gateway_jwks: jwks });
    database = await openForAdministration(identity.config);
    gateway = await startTestGateway({
      config: { assertion_jwks: jwks, embedded_identity: { url: identity.base } },
      edit: {
        'rules.yaml': [['rules: []', asking]],
        'relations.yaml': [
          ['types: {}', `types: ${JSON.stringify(types)}`],
          ['tuples: []', "tuples: ['team:t#member@user:alice']"],
        ],
      },
    });
  });
  after(async () => {
    await gateway.close();
    await database.destroy();
    await identity.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const change = async (add: string[], remove: string[] = []): Promise<void> => {
    const wanted = { add: add.map(parseTuple), remove: remove.map(parseTuple) };
    await changeRelations(createEventLog(database), wanted);
  };
  const status = async (sub = 'alice'): Promise<number> => {
    const answer = await fetch(`${gateway.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${await gateway.mint({ sub })}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'tiny-gpt2', messages: [{ role: 'user', content: 'hi' }] }),
    });
    await answer.arrayBuffer();
    return answer.status;
  };

  it('decide beside those of the file, from when they are written until they are taken away', async () => {
    assert.equal(await status(), 403);
    await change(['model:tiny-gpt2#viewer@team:t#member']);
    await eventually('the team may', async () => (await status()) === 200);
    assert.equal(await status('bob'), 403);
    await change([], ['model:tiny-gpt2#viewer@team:t#member']);
    await eventually('the team may not', async () => (await status()) === 403);
  });

  it('count for nothing where the types do not allow them', async () => {
    await change([
      'model:tiny-gpt2#owner@user:alice',
      'folder:f#viewer@user:alice',
      'model:tiny-gpt2#viewer@user:bob',
    ]);
    await eventually('bob may', async () => (await status('bob')) === 200);
    assert.equal(await status(), 403);
  });

  it('are shown as known by the readiness', async () => {
    const ready = (await (await fetch(`${gateway.internalUrl}/readyz`)).json()) as {
      checks: { kind: string; name: string; ready: boolean }[];
    };
    assert.deepEqual(
      ready.checks.filter(({ kind }) => kind === 'relations').map(({ name, ready: is }) => [name, is]),
      [['identity', true]],
    );
  });
});
