// `sallyport audit verify`, on audit folders that the gateway's own writer made and a hand changed.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { pino } from 'pino';
import { createAuditLog } from '../../gateway/accounting/audit-log.ts';
import { createHome, type CliHome, type CliResult } from './support/run-cli.ts';

let home: CliHome;
let folder: string;
before(() => {
  home = createHome();
});
after(() => home.remove());
beforeEach(async () => {
  folder = join(home.folder, 'data/gateway/audit');
  rmSync(folder, { recursive: true, force: true });
  const auditLog = createAuditLog(folder, { log: pino({ level: 'silent' }) });
  for (let number = 0; number < 5; number++) auditLog.append({ event: 'request', number });
  await auditLog.close();
});

const verify = (...words: string[]): Promise<CliResult> => home.run(['audit', 'verify', ...words]);
const file = (): string =>
  join(folder, readdirSync(folder).find((name) => name.endsWith('.jsonl')) ?? 'none');
const lastHash = (): string => /"hash":"([0-9a-f]{64})"\}\n$/.exec(readFileSync(file(), 'utf8'))?.[1] ?? '';

function change(edit: (lines: string[]) => string[]): void {
  const lines = readFileSync(file(), 'utf8').trimEnd().split('\n');
  writeFileSync(file(), `${edit(lines).join('\n')}\n`);
}

describe('sallyport audit verify', () => {
  it('prints each chain and exits with 0 when all is as it was written', async () => {
    const { code, stdout, stderr } = await verify();
    assert.equal(stdout, `gateway  5 records, 1 to 5, last hash ${lastHash()}\n`);
    assert.match(stderr, /as it was written/);
    assert.equal(code, 0);
  });

  it('takes another folder', async () => {
    assert.equal((await verify(folder)).code, 0);
  });

  it('prints one JSON object', async () => {
    const { code, stdout, stderr } = await verify('--json');
    assert.deepEqual(JSON.parse(stdout), {
      ok: true,
      chains: [{ writer: 'gateway', records: 5, first: 1, last: { seq: 5, hash: lastHash() } }],
      findings: [],
    });
    assert.equal(stderr, '');
    assert.equal(code, 0);
  });

  const edits: [string, (lines: string[]) => string[], RegExp][] = [
    [
      'a changed record',
      (lines) => lines.map((line) => line.replace('"number":2', '"number":7')),
      /^gateway\.[\d-]+\.jsonl:3 {2}line_damaged {2}/m,
    ],
    ['a removed record', (lines) => lines.toSpliced(2, 1), /jsonl:3 {2}chain_broken/],
    ['records cut off the end', (lines) => lines.slice(0, 2), /jsonl {2}truncated {2}records 3 to 5/],
  ];
  for (const [what, edit, expected] of edits) {
    it(`names file and line of ${what} and exits with 5`, async () => {
      change(edit);
      const { code, stdout, stderr } = await verify();
      assert.match(stdout, expected);
      assert.match(stderr, /not as it was written: (one finding|\d+ findings)\./);
      assert.equal(code, 5);
    });
  }

  it('exits with 5 and JSON on stdout, too', async () => {
    change((lines) => lines.slice(1));
    const { code, stdout } = await verify('--json');
    assert.equal((JSON.parse(stdout) as { ok: boolean }).ok, false);
    assert.equal(code, 5);
  });

  it('exits with 5 when every file but the head is gone', async () => {
    rmSync(file());
    const { code, stdout } = await verify();
    assert.match(stdout, /^gateway\.head\.json {2}truncated {2}records 1 to 5/);
    assert.equal(code, 5);
  });

  it('finds an anchor that is there, and misses one that is not', async () => {
    assert.equal((await verify('--anchor', `5:${lastHash()}`)).code, 0);
    const missing = await verify('--anchor', `5:${lastHash()}`, '--anchor', `5:${'a'.repeat(64)}`);
    assert.match(missing.stdout, /^anchor_missing {2}no chain holds record 5/m);
    assert.equal(missing.code, 5);
  });

  it('refuses an anchor that is none', async () => {
    for (const anchor of ['5', `5:${'a'.repeat(63)}`, `x:${'a'.repeat(64)}`]) {
      const { code, stderr } = await verify('--anchor', anchor);
      assert.match(stderr, /An anchor is the number of a record/);
      assert.equal(code, 2);
    }
  });

  it('says so when there is no folder, or no audit log in it', async () => {
    const missing = await verify(join(home.folder, 'nowhere'));
    assert.match(missing.stderr, /There is no folder /);
    assert.equal(missing.code, 2);
    mkdirSync(join(home.folder, 'empty'), { recursive: true });
    const empty = await verify(join(home.folder, 'empty'));
    assert.match(empty.stderr, /There is no audit log in /);
    assert.deepEqual([empty.code, empty.stdout], [2, '']);
  });
});
