// `sallyport policy check [DIR]`: every finding of configuration, bundle and tests in one run. Reads only.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ConfigurationError, type Finding } from '../../core/yaml-file.ts';
import { policyFiles } from '../../gateway/policies/bundle.ts';
import { watchDirectory } from '../../gateway/policies/directory-watch.ts';
import { exitCodes, type ExitCode } from '../exit-codes.ts';
import type { Terminal } from '../terminal.ts';
import { countOf, formatReport, type CheckFormat, type CheckReport } from './finding-formats.ts';
import { judge, sourceLines, type SourceLines } from './judged-finding.ts';
import { lintWarnings } from './lint-warnings.ts';
import { loadOpened, locatePolicies, type PolicyOptions } from './opened-policies.ts';
import { paintFor } from './paint.ts';
import {
  readTestFile,
  referenceFindings,
  testFilesOf,
} from '../../gateway/policies/evaluation/test-files.ts';

export interface CheckOptions extends PolicyOptions {
  readonly format: CheckFormat;
  readonly watch?: boolean;
}

/** Checks once, or again after every change with `--watch`; 3 when there are errors. */
export async function checkCommand(
  directory: string | undefined,
  options: CheckOptions,
  terminal: Terminal,
): Promise<ExitCode> {
  const once = (): CheckReport => {
    const lines = sourceLines();
    const report = check(directory, options, lines);
    const format = options.json === true ? 'json' : options.format;
    terminal.write(formatReport(report, format, { lines, paint: paintFor(terminal) }));
    return report;
  };
  const first = once();
  if (options.watch === true) await watchForever(first.directory, once, terminal);
  return countOf(first).errors > 0 ? exitCodes.configurationInvalid : exitCodes.done;
}

/** Everything that is wrong or odd, errors first. */
export function check(
  directory: string | undefined,
  options: PolicyOptions,
  lines: SourceLines,
): CheckReport {
  const startedAt = performance.now();
  const errors: Finding[] = [];
  const warnings: Finding[] = [];
  const collect = <T>(read: () => T): T | undefined => {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof ConfigurationError)) throw error;
      errors.push(...error.findings);
      return undefined;
    }
  };
  const located = collect(() => locatePolicies(directory, options));
  const folder = located?.directory ?? directory ?? 'policies';
  const tests = testFilesOf(folder);
  const opened = located === undefined ? undefined : collect(() => loadOpened(folder, located));
  if (opened !== undefined) warnings.push(...opened.bundle.warnings, ...lintWarnings(opened));
  for (const path of located === undefined ? [] : tests) {
    const file = collect(() => readTestFile(path));
    // Names are judged against a good bundle only, so that one fault of the bundle does not echo in every test.
    if (file !== undefined && opened !== undefined) errors.push(...referenceFindings(file, opened));
  }
  const present = Object.keys(policyFiles).filter((name) => existsSync(join(folder, name)));
  return {
    directory: folder,
    digest: errors.length > 0 ? null : (opened?.bundle.digest ?? null),
    files: present.length + tests.length,
    findings: [
      ...errors.map((finding) => judge(finding, 'error', lines)),
      ...warnings.map((finding) => judge(finding, 'warning', lines)),
    ],
    durationMs: performance.now() - startedAt,
  };
}

/** Shows the newest report alone on a terminal, one below the other elsewhere; ends with Ctrl-C. */
async function watchForever(directory: string, once: () => CheckReport, terminal: Terminal): Promise<void> {
  const onChange = (): void => {
    if (terminal.stdout.isTTY === true && terminal.interactive) terminal.write('\u001b[2J\u001b[3J\u001b[H');
    once();
  };
  const folders = [directory, join(directory, 'tests')].filter((folder) => existsSync(folder));
  for (const folder of folders) watchDirectory({ directory: folder, onChange, pollMs: 500, quietMs: 40 });
  terminal.say('Watching for changes; Ctrl-C ends.');
  for (;;) await delay(2 ** 30); // The watchers alone do not keep the process alive.
}
