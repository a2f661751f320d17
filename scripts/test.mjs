// `npm test`: runs every test file with node:test and ends with one line of counts. Arguments pick files:
// `npm test -- tests/core` runs that folder. Failures are repeated at the end, where they are looked for.
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { run } from 'node:test';
import { fileURLToPath } from 'node:url';
import { requireSupportedNode } from './node-version.mjs';

requireSupportedNode();

const root = fileURLToPath(new URL('..', import.meta.url));
process.chdir(root);
const asked = process.argv.slice(2).filter((argument) => !argument.startsWith('-'));
const files = (asked.length === 0 ? ['tests'] : asked).flatMap(testFiles);
if (files.length === 0) {
  process.stderr.write(`✗ There is no test file in ${asked.join(', ') || 'tests/'}.\n`);
  process.exit(1);
}

const counts = { passed: 0, failed: 0, skipped: 0 };
const failures = [];
const skippedBecause = new Map();
const outputOf = new Map();
const stream = run({ files: files.map((path) => join(root, path)), concurrency: 2, timeout: 600_000 });

stream.on('test:pass', (event) => {
  if (event.skip !== undefined || event.todo !== undefined) {
    counts.skipped += 1;
    const reason = typeof event.skip === 'string' ? event.skip : 'no reason given';
    skippedBecause.set(reason, (skippedBecause.get(reason) ?? 0) + 1);
  } else if (isTest(event)) counts.passed += 1;
});
stream.on('test:fail', (event) => {
  // A suite or file fails because of a test in it, which has been counted; it counts itself only when it broke.
  const kind = event.details.error?.failureType;
  if (kind === 'subtestsFailed') return;
  counts.failed += 1;
  const place = `${relative(root, event.file ?? '')}:${event.line ?? 1}`;
  failures.push({ place, name: event.name, problem: describe(event.details.error), file: event.file });
  process.stdout.write(`✗ ${place}  ${event.name}\n`);
});
stream.on('test:stderr', keepOutput);
stream.on('test:stdout', keepOutput);
stream.on('test:summary', (event) => {
  if (event.file === undefined) return;
  const { passed, failed, skipped } = event.counts;
  const parts = [`${passed} passed`];
  if (failed > 0) parts.push(`${failed} failed`);
  if (skipped > 0) parts.push(`${skipped} skipped`);
  const seconds = (event.duration_ms / 1000).toFixed(1);
  process.stdout.write(
    `${event.success ? '✓' : '✗'} ${relative(root, event.file)}  ${parts.join(', ')}  ${seconds} s\n`,
  );
});
stream.on('end', finish);
stream.resume();

function isTest(event) {
  return event.details.type !== 'suite' && !files.includes(relative(root, event.name));
}

function keepOutput(event) {
  const kept = `${outputOf.get(event.file) ?? ''}${event.message}`;
  outputOf.set(event.file, kept.slice(-4000));
}

function describe(error) {
  const cause = error?.cause ?? error;
  if (!(cause instanceof Error)) return String(cause);
  return cause.stack?.includes(cause.message) ? cause.stack : `${cause.message}\n${cause.stack ?? ''}`;
}

function finish() {
  const told = new Set();
  for (const [index, { place, name, problem, file }] of failures.entries()) {
    process.stdout.write(`\n${index + 1}) ${name}\n   ${place}\n`);
    process.stdout.write(
      `${problem
        .split('\n')
        .slice(0, 25)
        .map((line) => `   ${line}`)
        .join('\n')}\n`,
    );
    const output = outputOf.get(file);
    if (output === undefined || told.has(file)) continue;
    told.add(file);
    process.stdout.write(`   output of ${relative(root, file)}, its end:\n`);
    process.stdout.write(
      `${output
        .trimEnd()
        .split('\n')
        .slice(-20)
        .map((line) => `   | ${line}`)
        .join('\n')}\n`,
    );
  }
  if (skippedBecause.size > 0) process.stdout.write('\n');
  for (const [reason, count] of skippedBecause) process.stdout.write(`${count} skipped: ${reason}\n`);
  const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : '';
  process.stdout.write(`\n${counts.passed} passed, ${counts.failed} failed${skipped}\n`);
  if (counts.failed > 0 || counts.passed === 0) process.exitCode = 1;
}

function testFiles(path) {
  if (!existsSync(path)) return [];
  if (statSync(path).isFile()) return path.endsWith('.test.ts') ? [path] : [];
  return readdirSync(path, { recursive: true })
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => join(path, name))
    .sort();
}
