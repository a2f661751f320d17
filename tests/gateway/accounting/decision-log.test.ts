// Decisions as a whole gateway records them, and what becomes of the files.
import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { pino } from 'pino';
import {
  findDecision,
  listDecisionFiles,
  readDecisions,
  type RecordedDecision,
} from '../../../gateway/accounting/decision-files.ts';
import { createDecisionLog, type DecisionLogOptions } from '../../../gateway/accounting/decision-log.ts';
import type { Received } from '../../../gateway/exchange.ts';
import { anonymousPrincipal, type Principal } from '../../../gateway/principal.ts';
import { startTestGateway, type TestGateway } from '../../support/start-gateway.ts';

async function all(folder: string, since = 0): Promise<RecordedDecision[]> {
  const found: RecordedDecision[] = [];
  for await (const each of readDecisions(folder, since)) found.push(each);
  return found;
}

describe('the decisions of a gateway', () => {
  let gateway: TestGateway;
  let folder: string;
  before(async () => {
    gateway = await startTestGateway();
    folder = join(dirname(gateway.auditFolder), 'decisions');
  });
  after(() => gateway.close());

  const send = async (accessToken: string, model: string, path = '/v1/chat/completions'): Promise<string> => {
    const response = await fetch(`${gateway.url}${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${accessToken}`, 'content-type': 'application/json' },
      body: JSON.stringify({
        model,
        messages: [{ role: 'user', content: 'a secret of mine' }],
        max_tokens: 7,
      }),
    });
    await response.text();
    return response.headers.get('x-request-id') ?? '';
  };
  const recorded = async (id: string): Promise<RecordedDecision> => {
    for (let round = 0; round < 500; round++) {
      const found = await findDecision(folder, id);
      if (found !== null) return found;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new Error(`${id} was not recorded`);
  };

  it('are kept with claims, numbers and what decided, and without prompt, credential and personal claims', async () => {
    const accessToken = await gateway.mint({ plan: 'free', email: 'alice@example.com', name: 'Alice' });
    const decision = await recorded(await send(accessToken, 'tiny-gpt2'));
    assert.equal(decision.decision, 'permit');
    assert.equal(decision.by, 'roles.LLM.User');
    assert.deepEqual([decision.action, decision.model], ['chat.completions.create', 'tiny-gpt2']);
    assert.deepEqual(decision.facts, {
      stream: false,
      max_tokens: 7,
      n: 1,
      message_count: 1,
      prompt_count: 0,
      tool_count: 0,
    });
    assert.equal(decision.principal.claims['plan'], 'free');
    assert.deepEqual(decision.principal.roles, new Set(['LLM.User']));
    assert.deepEqual([...decision.omitted].sort(), ['email', 'name', 'preferred_username']);
    const text = readdirSync(folder)
      .map((name) => readFileSync(join(folder, name), 'utf8'))
      .join('');
    for (const secret of [
      'a secret of mine',
      'alice@example.com',
      accessToken.split('.')[2] ?? '?',
      'Bearer',
    ])
      assert.ok(!text.includes(secret), secret);
  });

  it('are kept of refusals, with the code that the caller got', async () => {
    const decision = await recorded(await send(await gateway.mint({ roles: [] }), 'tiny-gpt2'));
    assert.deepEqual([decision.decision, decision.code, decision.by], ['deny', 'access_denied', null]);
    const unknown = await recorded(await send(await gateway.mint(), 'x"\n\u202e'.repeat(100)));
    assert.deepEqual([unknown.decision, unknown.code], ['deny', 'model_not_found']);
    assert.equal(unknown.model?.length, 256);
  });

  it('are not kept where none was made: bad credentials, a bad body, a route open to anybody', async () => {
    const ids = [
      await send('nonsense', 'tiny-gpt2'),
      await send(await gateway.mint(), 'tiny-gpt2', '/users'),
      (
        await fetch(`${gateway.url}/v1/chat/completions`, {
          method: 'POST',
          headers: { authorization: `Bearer ${await gateway.mint()}`, 'content-type': 'application/json' },
          body: '{',
        })
      ).headers.get('x-request-id') ?? '',
    ];
    await recorded(await send(await gateway.mint(), 'tiny-gpt2')); // What came before it is written by then.
    for (const id of ids) assert.equal(await findDecision(folder, id), null);
  });

  it('are for this account alone', () => {
    assert.equal(statSync(folder).mode & 0o777, 0o700);
    for (const name of readdirSync(folder)) assert.equal(statSync(join(folder, name)).mode & 0o777, 0o600);
  });

  it('are not recorded where that is switched off', async () => {
    const other = await startTestGateway({ config: { decisions: { record: false } } });
    const response = await fetch(`${other.url}/v1/models`, {
      headers: { authorization: `Bearer ${await other.mint()}` },
    });
    assert.equal(response.status, 200);
    const folderOfOther = join(dirname(other.auditFolder), 'decisions');
    await other.running.close();
    assert.equal(existsSync(folderOfOther), false);
    await other.close();
  });
});

describe('a decision log', () => {
  const open: (() => void)[] = [];
  afterEach(() => {
    for (const close of open.splice(0)) close();
  });

  const alice: Principal = {
    ...anonymousPrincipal('::1'),
    issuerName: 'embedded',
    key: 'embedded alice',
    claims: { sub: 'alice' },
  };
  const request = (id: string, principal = alice): Received =>
    ({
      id,
      receivedAt: Date.now(),
      route: { name: 'chat', action: 'chat.completions.create', anonymous: false },
      callerAddress: '127.0.0.1',
      snapshot: { digest: 'd' },
      effective: {},
      outcome: { principal, model: 'tiny-gpt2', decidedBy: 'roles.LLM.User', refusal: null },
    }) as unknown as Received; // What the log reads of a request.

  function openLog(options: Partial<DecisionLogOptions> = {}): {
    folder: string;
    log: ReturnType<typeof createDecisionLog>;
    lost: () => number;
  } {
    const base = mkdtempSync(join(tmpdir(), 'sallyport-decisions-'));
    open.push(() => rmSync(base, { recursive: true, force: true }));
    const folder = join(base, 'decisions');
    let lost = 0;
    const log = createDecisionLog(folder, {
      log: pino({ level: 'silent' }),
      keepMs: 86_400_000,
      maxBytes: 1_000_000,
      omitClaims: [],
      onLost: (count) => (lost += count),
      ...options,
    });
    return { folder, log, lost: () => lost };
  }

  it('keeps that groups are unknown, and whether a person or an application asked', async () => {
    const { folder, log } = openLog();
    log.append(request('req_1', { ...alice, key: 'a', groupsUnknown: true, identityType: 'user' }));
    log.append(request('req_2', { ...alice, key: 'b', groupsUnknown: false, identityType: 'app' }));
    log.append(request('req_3', { ...alice, key: 'c' }));
    await log.close();
    assert.deepEqual(
      (await all(folder)).map(({ principal }) => [principal.groupsUnknown, principal.identityType]),
      [
        [true, 'user'],
        [false, 'app'],
        [false, undefined],
      ],
    );
  });

  it('keeps the numbers of each body, whatever the one before held', async () => {
    const { folder, log } = openLog();
    const bodies = [{ n: 2 }, { n: 2, max_tokens: 7 }, null, { stream: true }, { n: 2 }];
    for (const [index, json] of bodies.entries()) {
      const received = request(`req_${index}`);
      log.append(Object.assign(received, { body: json === null ? null : { json } }));
    }
    await log.close();
    assert.deepEqual(
      (await all(folder)).map(({ facts }) =>
        facts === null ? null : [facts.n, facts.max_tokens, facts.stream],
      ),
      [[2, 0, false], [2, 7, false], null, [1, 0, true], [2, 0, false]],
    );
  });

  it('begins a new file when one is full, and each file names its principals', async () => {
    const { folder, log } = openLog({ fileBytes: 2_000 });
    for (let index = 0; index < 100; index++) log.append(request(`req_${index}`));
    await log.close();
    assert.ok(listDecisionFiles(folder).length > 5);
    const found = await all(folder);
    assert.deepEqual(
      found.map(({ id }) => id),
      Array.from({ length: 100 }, (_, index) => `req_${index}`),
    );
    assert.ok(found.every(({ principal }) => principal.key === 'embedded alice'));
  });

  it('keeps a line whole whatever separators and marks a caller or issuer writes', async () => {
    const { folder, log } = openLog();
    const odd = 'a\u2028b\u2029c\u0085d\u202ee\ud800"\n';
    const received = request('req_1', { ...alice, claims: { odd }, key: odd });
    received.outcome.model = odd;
    log.append(received);
    log.append(request('req_2'));
    await log.close();
    const found = await all(folder);
    assert.deepEqual(
      found.map(({ id, model, principal }) => [id, model, principal.key]),
      [
        ['req_1', odd, odd],
        ['req_2', 'tiny-gpt2', 'embedded alice'],
      ],
    );
    const [file] = listDecisionFiles(folder);
    assert.match(readFileSync(file?.path ?? '', 'latin1'), /^[\x20-\x7e\n]+$/);
  });

  it('names a principal once for each file', async () => {
    const { folder, log } = openLog();
    for (let index = 0; index < 50; index++) log.append(request(`req_${index}`));
    await log.close();
    const [file] = listDecisionFiles(folder);
    const lines = readFileSync(file?.path ?? '', 'utf8')
      .trim()
      .split('\n');
    assert.equal(lines.length, 51);
    assert.equal(lines.filter((line) => line.startsWith('{"principal":')).length, 1);
  });

  it('counts what it drops when the disk cannot be written, and goes on when it can', async () => {
    const { folder, log, lost } = openLog();
    rmSync(folder, { recursive: true });
    writeFileSync(folder, 'in the way');
    for (let index = 0; index < 10; index++) log.append(request(`req_${index}`));
    for (let round = 0; lost() === 0 && round < 500; round++)
      await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(lost(), 10);
    rmSync(folder);
    mkdirSync(folder);
    log.append(request('req_later'));
    await log.close();
    assert.deepEqual(
      (await all(folder)).map(({ id, principal }) => [id, principal.key]),
      [['req_later', 'embedded alice']],
    );
  });

  it('keeps all of a rush, in its order, whether or not the disk keeps up', async () => {
    const { folder, log, lost } = openLog({ maxBytes: 100_000_000 });
    for (let index = 0; index < 8_000; index++) {
      log.append(request(`req_${index}`));
      if (index % 1_000 === 999) await new Promise((resolve) => setImmediate(resolve));
    }
    await log.close();
    assert.equal(lost(), 0);
    assert.deepEqual(
      (await all(folder)).map(({ id }) => id),
      Array.from({ length: 8_000 }, (_, index) => `req_${index}`),
    );
  });

  it('drops and counts what comes faster than it can be written', async () => {
    const { folder, log, lost } = openLog({ maxBufferedBytes: 1_000 });
    for (let index = 0; index < 100; index++) log.append(request(`req_${index}`));
    assert.ok(lost() > 80);
    await log.close();
    assert.equal((await all(folder)).length, 100 - lost());
    log.append(request('req_late'));
    assert.equal(
      (await all(folder)).some(({ id }) => id === 'req_late'),
      false,
    );
  });

  it('removes what is too old and what is too much, oldest first', async () => {
    const { folder, log } = openLog({ fileBytes: 1_000, maxBytes: 5_000 });
    for (let index = 0; index < 100; index++) {
      log.append(request(`req_${index}`));
      if (index % 10 === 9) await new Promise((resolve) => setTimeout(resolve, 250));
    }
    await log.close();
    const [oldest] = listDecisionFiles(folder);
    if (oldest !== undefined) utimesSync(oldest.path, new Date(0), new Date(0));
    const again = createDecisionLog(folder, {
      log: pino({ level: 'silent' }),
      keepMs: 86_400_000,
      maxBytes: 5_000,
      omitClaims: [],
      onLost: () => undefined,
    });
    for (let round = 0; oldest !== undefined && existsSync(oldest.path) && round < 500; round++)
      await new Promise((resolve) => setTimeout(resolve, 20));
    await again.close();
    const left = listDecisionFiles(folder);
    assert.ok(left.reduce((sum, { bytes }) => sum + bytes, 0) <= 5_000);
    assert.ok((await all(folder)).some(({ id }) => id === 'req_99'));
    assert.ok(left.every(({ path }) => path !== oldest?.path));
  });

  it('is read past lines that are not whole, nobody has named, or are no JSON', async () => {
    const { folder, log } = openLog();
    log.append(request('req_1'));
    await log.close();
    const [file] = listDecisionFiles(folder);
    writeFileSync(
      file?.path ?? '',
      `${readFileSync(file?.path ?? '', 'utf8')}nonsense\n{"id":"req_2","at":1,"p":99}\nnull\n[]\n{"id":"req_3","at`,
    );
    assert.deepEqual(
      (await all(folder)).map(({ id }) => id),
      ['req_1'],
    );
    assert.deepEqual(await all(join(folder, 'nowhere')), []);
    assert.deepEqual(await all(folder, Date.now() + 1_000), []);
    assert.equal(await findDecision(folder, 'req_3'), null);
    assert.equal(await findDecision(folder, '.*'), null);
  });
});
