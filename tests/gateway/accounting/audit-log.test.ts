// The chain: what is written can be verified, and whatever is changed afterwards shows.
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  existsSync,
  renameSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import {
  createAuditLog,
  type AuditLog,
  type AuditLogOptions,
} from '../../../gateway/accounting/audit-log.ts';
import { verifyAuditLog } from '../../../gateway/accounting/audit-verify.ts';

let folder = '';
const open = (options: Partial<AuditLogOptions> = {}): AuditLog =>
  createAuditLog(folder, { log: pino({ level: 'silent' }), ...options });

beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), 'sallyport-audit-')), 'audit');
});
afterEach(() => rmSync(join(folder, '..'), { recursive: true, force: true }));

const files = (): string[] => readdirSync(folder).filter((name) => name.endsWith('.jsonl'));
const newest = (): string => join(folder, files().sort().at(-1) ?? '');
const lines = (): string[] =>
  files()
    .sort()
    .flatMap((name) => readFileSync(join(folder, name), 'utf8').trimEnd().split('\n'));
const codes = async (): Promise<string[]> => (await verifyAuditLog(folder)).findings.map(({ code }) => code);

async function until(condition: () => boolean): Promise<void> {
  for (let attempt = 0; attempt < 500; attempt++) {
    if (condition()) return;
    await delay(10);
  }
  assert.fail('it does not happen');
}

async function write(count: number, options: Partial<AuditLogOptions> = {}): Promise<void> {
  const auditLog = open(options);
  for (let number = 0; number < count; number++) auditLog.append({ event: 'request', number });
  await auditLog.close();
}

describe('the audit log', () => {
  it('writes one JSON line for each record, numbered and chained', async () => {
    await write(3);
    const records = lines().map((line) => JSON.parse(line));
    assert.deepEqual(
      records.map(({ seq }) => seq),
      [1, 2, 3],
    );
    assert.deepEqual(
      records.map(({ number }) => number),
      [0, 1, 2],
    );
    assert.equal(records[0].prev, '0'.repeat(64));
    assert.equal(records[1].prev, records[0].hash);
    assert.deepEqual(await verifyAuditLog(folder), {
      ok: true,
      chains: [{ writer: 'gateway', records: 3, first: 1, last: { seq: 3, hash: records[2].hash } }],
      findings: [],
    });
  });

  it('lets nobody else read', async () => {
    await write(1);
    assert.equal(statSync(folder).mode & 0o777, 0o700);
    for (const name of readdirSync(folder))
      assert.equal(statSync(join(folder, name)).mode & 0o777, 0o600, name);
  });

  it('continues the chain over restarts', async () => {
    await write(3);
    await write(2);
    assert.deepEqual(
      lines().map((line) => JSON.parse(line).seq),
      [1, 2, 3, 4, 5],
    );
    assert.deepEqual(await codes(), []);
  });

  it('begins a file a day and chains them; a clock that goes back does not reopen an older one', async () => {
    await write(2, { now: () => Date.UTC(2026, 10, 22, 23) });
    await write(2, { now: () => Date.UTC(2026, 10, 23, 1) });
    await write(1, { now: () => Date.UTC(2026, 10, 22, 23) });
    assert.deepEqual(files().sort(), ['gateway.2026-11-22.jsonl', 'gateway.2026-11-23.jsonl']);
    assert.deepEqual(
      lines().map((line) => JSON.parse(line).seq),
      [1, 2, 3, 4, 5],
    );
    assert.deepEqual(await codes(), []);
  });

  it('keeps a chain for each writer', async () => {
    await write(2, { writer: 'gateway-1' });
    await write(3, { writer: 'gateway-2' });
    const { ok, chains } = await verifyAuditLog(folder);
    assert.equal(ok, true);
    assert.deepEqual(
      chains.map(({ writer, records }) => [writer, records]),
      [
        ['gateway-1', 2],
        ['gateway-2', 3],
      ],
    );
  });

  it('cannot be made to show lines, colours or directions that a caller chose', async () => {
    const auditLog = open();
    const nasty = 'a\r\n{"seq":9}\u2028\u2029\u001b[31m\u009b\u007f\u202e\ud800"\\é';
    auditLog.append({ event: 'request', model: nasty, ['\n"x']: 1 });
    await auditLog.close();
    const text = readFileSync(newest(), 'latin1');
    assert.match(text, /^[\x20-\x7e]+\n$/);
    assert.equal(JSON.parse(text).model, nasty);
    assert.deepEqual(await codes(), []);
  });

  it('does not read a caller\'s "hash" member as its own', async () => {
    const auditLog = open();
    auditLog.append({ event: 'request', model: `","hash":"${'0'.repeat(64)}"}` });
    await auditLog.close();
    assert.deepEqual(await codes(), []);
  });

  it('writes without being closed', async () => {
    const auditLog = open();
    auditLog.append({ event: 'request' });
    for (
      let attempt = 0;
      attempt < 200 && (files().length === 0 || readFileSync(newest(), 'utf8') === '');
      attempt++
    )
      await delay(10);
    assert.equal(lines().length, 1);
    await auditLog.close();
  });
});

describe('the verification of an audit log', () => {
  const rewrite = (change: (whole: string[]) => string[]): void =>
    writeFileSync(newest(), `${change(lines()).join('\n')}\n`);

  it('shows a changed record', async () => {
    await write(5);
    rewrite((whole) => whole.map((line) => line.replace('"number":2', '"number":7')));
    const { findings } = await verifyAuditLog(folder);
    assert.deepEqual(
      findings.map(({ line, code }) => [line, code]),
      [
        [3, 'line_damaged'],
        [4, 'chain_broken'],
      ],
    );
  });

  it('shows a removed record', async () => {
    await write(5);
    rewrite((whole) => whole.toSpliced(2, 1));
    assert.deepEqual(await codes(), ['chain_broken']);
  });

  it('shows exchanged records', async () => {
    await write(4);
    rewrite(([first, second, third, ...rest]) => [first ?? '', third ?? '', second ?? '', ...rest]);
    assert.ok((await codes()).includes('chain_broken'));
  });

  it('shows an inserted record', async () => {
    await write(4);
    rewrite((whole) => whole.toSpliced(2, 0, whole[1] ?? ''));
    assert.ok((await codes()).includes('chain_broken'));
  });

  it('shows that the last records are gone', async () => {
    await write(5);
    rewrite((whole) => whole.slice(0, 3));
    const { findings } = await verifyAuditLog(folder);
    assert.deepEqual(
      findings.map(({ code }) => code),
      ['truncated'],
    );
    assert.match(findings[0]?.message ?? '', /4 to 5/);
  });

  it('goes on showing it after the gateway has started again', async () => {
    await write(5);
    rewrite((whole) => whole.slice(0, 3));
    await write(1);
    assert.deepEqual(await codes(), ['chain_broken']);
    assert.deepEqual(JSON.parse(lines()[3] ?? '').event, 'audit.truncated');
  });

  it('shows that a whole day is gone', async () => {
    await write(2, { now: () => Date.UTC(2026, 10, 21) });
    await write(2, { now: () => Date.UTC(2026, 10, 22) });
    await write(2, { now: () => Date.UTC(2026, 10, 23) });
    rmSync(join(folder, 'gateway.2026-11-22.jsonl'));
    assert.deepEqual(await codes(), ['chain_broken']);
  });

  it('says where a chain begins whose older files were moved away', async () => {
    await write(2, { now: () => Date.UTC(2026, 10, 21) });
    await write(2, { now: () => Date.UTC(2026, 10, 22) });
    rmSync(join(folder, 'gateway.2026-11-21.jsonl'));
    assert.deepEqual(await codes(), ['begins_late']);
  });

  it('shows by an anchor that a whole log was written anew', async () => {
    await write(3);
    const [chain] = (await verifyAuditLog(folder)).chains;
    const anchors = chain === undefined ? [] : [chain.last];
    assert.equal((await verifyAuditLog(folder, { anchors })).ok, true);
    rmSync(folder, { recursive: true });
    const forged = open();
    for (let number = 0; number < 4; number++) forged.append({ event: 'request', number, forged: true });
    await forged.close();
    assert.deepEqual(
      (await verifyAuditLog(folder, { anchors })).findings.map(({ code }) => code),
      ['anchor_missing'],
    );
  });

  it('takes the last record of older files as an anchor for where a chain begins', async () => {
    await write(2, { now: () => Date.UTC(2026, 10, 21) });
    const [older] = (await verifyAuditLog(folder)).chains;
    await write(2, { now: () => Date.UTC(2026, 10, 22) });
    rmSync(join(folder, 'gateway.2026-11-21.jsonl'));
    const anchors = older === undefined ? [] : [older.last];
    assert.deepEqual((await verifyAuditLog(folder, { anchors })).findings, []);
    const wrong = anchors.map(({ hash }) => ({ seq: 1, hash }));
    const { findings } = await verifyAuditLog(folder, { anchors: wrong });
    assert.deepEqual(
      findings.map(({ code }) => code),
      ['begins_late', 'anchor_missing'],
    );
  });

  it('shows that all files are gone', async () => {
    await write(3);
    rmSync(newest());
    const { findings, chains } = await verifyAuditLog(folder);
    assert.deepEqual(
      findings.map(({ file, code }) => [file, code]),
      [['gateway.head.json', 'truncated']],
    );
    assert.deepEqual(chains, []);
  });

  it('shows a chain that was written anew beside the head of the true one', async () => {
    await write(3);
    const head = readFileSync(join(folder, 'gateway.head.json'));
    rmSync(folder, { recursive: true });
    const forged = open();
    for (let number = 0; number < 4; number++) forged.append({ event: 'request', number, forged: true });
    await forged.close();
    writeFileSync(join(folder, 'gateway.head.json'), head);
    assert.deepEqual(await codes(), ['head_differs']);
  });

  it('finds nothing wrong with a log that is being written', async () => {
    const auditLog = open();
    for (let round = 0; round < 40; round++) {
      for (let number = 0; number < 50; number++) auditLog.append({ event: 'request', number });
      await delay(2);
      assert.deepEqual(
        (await verifyAuditLog(folder)).findings.filter(({ code }) => code !== 'line_torn'),
        [],
      );
    }
    await auditLog.close();
    assert.deepEqual(await codes(), []);
  });

  it('finds nothing wrong with a folder that does not exist', async () => {
    assert.deepEqual(await verifyAuditLog(folder), { ok: true, chains: [], findings: [] });
  });
});

describe('the audit log after a crash', () => {
  it('cuts a torn last line off, says so in the chain, and goes on', async () => {
    await write(3);
    appendFileSync(newest(), '{"seq":4,"prev":"ab');
    assert.deepEqual(await codes(), ['line_damaged', 'line_torn']);
    await write(1);
    const records = lines().map((line) => JSON.parse(line));
    assert.deepEqual([records[3].event, records[3].torn_bytes, records[3].seq], ['audit.repaired', 19, 4]);
    assert.deepEqual(await codes(), []);
  });

  it('survives a first file that holds nothing but a torn line', async () => {
    await write(1);
    truncateSync(newest(), 20);
    rmSync(join(folder, 'gateway.head.json'));
    await write(1);
    assert.deepEqual(
      lines().map((line) => JSON.parse(line).event),
      ['audit.repaired', 'request'],
    );
    assert.deepEqual(await codes(), []);
  });

  it('finds its place when the file of the new day is still empty', async () => {
    await write(2, { now: () => Date.UTC(2026, 10, 21) });
    writeFileSync(join(folder, 'gateway.2026-11-22.jsonl'), '');
    await write(2, { now: () => Date.UTC(2026, 10, 22) });
    assert.deepEqual(await codes(), []);
  });

  it('notes a last line that is not as it was written', async () => {
    await write(3);
    const text = readFileSync(newest(), 'utf8');
    writeFileSync(newest(), text.replace('"number":2', '"number":9'));
    await write(1);
    assert.deepEqual(
      lines()
        .slice(3)
        .map((line) => JSON.parse(line).event),
      ['audit.damaged', 'request'],
    );
    assert.ok((await codes()).includes('line_damaged'));
  });

  it('holds a chain that verifies after kill -9 in the middle of writing', async () => {
    for (let round = 0; round < 3; round++) {
      const child = fork(join(import.meta.dirname, 'audit-writer.ts'), [folder], {
        stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      });
      for (let count = 0; count < 20; count++) await once(child, 'message');
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    await write(1);
    const { ok, findings, chains } = await verifyAuditLog(folder);
    assert.ok(ok, JSON.stringify(findings));
    assert.ok((chains[0]?.records ?? 0) > 1_000);
  });
});

describe('the audit log on a disk that fails', () => {
  it('has a problem until it can write again, and then loses nothing', async () => {
    const auditLog = open({ now: () => Date.UTC(2026, 10, 22) });
    // A folder in the place of the file refuses everybody, root included.
    const place = join(folder, 'gateway.2026-11-22.jsonl');
    mkdirSync(place);
    auditLog.append({ event: 'request', number: 1 });
    for (let attempt = 0; attempt < 200 && auditLog.problem() === null; attempt++) await delay(10);
    assert.match(auditLog.problem() ?? '', /cannot be written/);
    auditLog.append({ event: 'request', number: 2 });
    rmSync(place, { recursive: true });
    for (let attempt = 0; attempt < 500 && auditLog.problem() !== null; attempt++) await delay(10);
    assert.equal(auditLog.problem(), null);
    await auditLog.close();
    assert.deepEqual(
      lines().map((line) => JSON.parse(line).number),
      [1, 2],
    );
    assert.deepEqual(await codes(), []);
  });

  it('goes on in a new file when its file is moved away', async () => {
    const auditLog = open({ now: () => Date.UTC(2026, 10, 22) });
    auditLog.append({ event: 'request', number: 1 });
    const place = join(folder, 'gateway.2026-11-22.jsonl');
    await until(() => existsSync(place) && existsSync(join(folder, 'gateway.head.json')));
    renameSync(place, join(folder, 'shipped'));
    auditLog.append({ event: 'request', number: 2 });
    auditLog.append({ event: 'request', number: 3 });
    await until(
      () =>
        !existsSync(place) && JSON.parse(readFileSync(join(folder, 'gateway.head.json'), 'utf8')).seq === 3,
    );
    auditLog.append({ event: 'request', number: 4 });
    await auditLog.close();
    assert.equal(auditLog.problem(), null);
    assert.deepEqual(
      lines().map((line) => JSON.parse(line).seq),
      [4],
    );
  });

  it('writes no more, for good, once another process writes into its file', async () => {
    const auditLog = open({ now: () => Date.UTC(2026, 10, 22) });
    auditLog.append({ event: 'request', number: 1 });
    const place = join(folder, 'gateway.2026-11-22.jsonl');
    await until(() => existsSync(join(folder, 'gateway.head.json')));
    appendFileSync(place, 'somebody else\n');
    auditLog.append({ event: 'request', number: 2 });
    await until(() => auditLog.problem() !== null);
    assert.match(auditLog.problem() ?? '', /another process/);
    await delay(1_200); // Longer than a retry takes.
    assert.match(auditLog.problem() ?? '', /another process/);
    await auditLog.close();
    assert.ok((await codes()).length > 0);
  });

  it('has a problem when records come faster than they can be written, and says how many were lost', async () => {
    const auditLog = open({ maxBufferedBytes: 2_000 });
    for (let number = 0; number < 100; number++) auditLog.append({ event: 'request', text: 'x'.repeat(100) });
    assert.match(auditLog.problem() ?? '', /as fast as/);
    for (let attempt = 0; attempt < 500 && auditLog.problem() !== null; attempt++) await delay(10);
    assert.equal(auditLog.problem(), null);
    auditLog.append({ event: 'request', text: 'after' });
    await auditLog.close();
    const records = lines().map((line) => JSON.parse(line));
    const lost = records.find(({ event }) => event === 'audit.lost');
    assert.equal(records.length - 2 + Number(lost.records), 100);
    assert.deepEqual(await codes(), []);
  });
});
