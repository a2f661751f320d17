// What a start shows on a terminal, where a whole start would be too much to arrange it.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { terminalReport } from '../../cli/supervisor/start-report.ts';

const dataFolder = mkdtempSync(join(tmpdir(), 'sallyport-report-'));
after(() => rmSync(dataFolder, { recursive: true, force: true }));

function show(isFirstRun: boolean, withAdministrator: boolean, loginArguments = ''): string {
  let shown = '';
  const report = terminalReport({
    servers: ['identity', 'gateway'],
    dataFolder,
    isFirstRun,
    policies: 'policies',
    isLoopback: true,
    loginArguments,
    authorityFile: undefined,
    write: (text) => (shown += text),
  });
  if (withAdministrator) report.firstAdministrator('admin', 'wharf-ember-cotton-59');
  report.ready('identity', 'http://127.0.0.1:8081', '');
  report.ready('gateway', 'http://127.0.0.1:8080', '');
  report.complete(1);
  return shown;
}

describe('the block of a start', () => {
  it('names the first administrator also where an earlier start failed and left the data folder', () => {
    const shown = show(false, true);
    assert.match(shown, /keys, first administrator/);
    assert.match(shown, /Sallyport \d/);
    assert.match(shown, /wharf-ember-cotton-59/);
  });

  it('says nothing of an administrator later', () => {
    assert.doesNotMatch(show(false, false), /administrator|Sallyport \d|Password/i);
  });

  it('tells a later start how to sign in where the address is not the usual one', () => {
    assert.match(show(false, false, '--gateway http://127.0.0.1:8090'), /login --gateway http:\S+:8090 /);
    assert.doesNotMatch(show(false, false), /login/);
  });
});
