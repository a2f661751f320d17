// A bundle before it is used: read as a whole, and judged by its own tests (tests/*.yaml beside it). Runs at the start in
// the gateway's own thread, at a reload in another one (candidate-thread.ts). Reads files and nothing else.
import { join } from 'node:path';
import { ConfigurationError, wholeFile, type Finding } from '../../core/yaml-file.ts';
import { loadBundle, type Bundle } from './bundle.ts';
import type { PolicyContext } from './context.ts';
import { createEvaluator } from './evaluation/evaluate.ts';
import { placedTests, reasonCodes, runTests, type TestResult } from './evaluation/run-tests.ts';
import { readTestFile, referenceFindings, testFilesOf, type TestFile } from './evaluation/test-files.ts';
import type { PolicyTest } from './evaluation/test-schema.ts';

/** What `gateway.require_tests` may say. */
export type RequireTests = boolean | 'when_present';

/** Where a candidate is and what it must hold to; plain values, since it crosses to another thread. */
export interface CandidateSource {
  readonly directory: string;
  readonly context: PolicyContext;
  readonly requireTests: RequireTests;
}

/** Code of a finding that says that a test of the bundle failed; `tests_missing` says that there is none. */
export const testFailed = 'policy_test_failed';

/** Failing tests that are named one by one. */
const mostNamed = 20;

/**
 * Reads the bundle of a directory and runs its tests.
 * Checks: what loadBundle checks; unless `requireTests` is false, that every test file can be read, asks about things that
 * exist, and passes; with `true`, that there is a test at all.
 * Does not check: with `when_present`, tests about a model that no upstream serves (the gateway may be started with another
 * model than the tests speak of; nobody can be permitted one that is not served); whether tests cover the bundle.
 * @throws ConfigurationError with every finding
 */
export function judgeCandidate({ directory, context, requireTests }: CandidateSource): Bundle {
  const bundle = loadBundle(directory, context);
  if (requireTests === false) return bundle;
  const files = readTests(directory, bundle);
  const tests = placedTests(files).filter(
    ({ test }) => requireTests === true || isServed(modelOf(test), context),
  );
  if (tests.length === 0 && requireTests === true) {
    const message = 'there is no test, and gateway.require_tests asks for tests';
    throw new ConfigurationError([wholeFile(join(directory, 'tests'), 'tests_missing', message)]);
  }
  if (tests.length === 0) return bundle;
  const results = runTests(tests, createEvaluator({ bundle, context }), {
    issuers: bundle.issuers,
    embeddedIssuer: context.embeddedIssuer,
  });
  const failures = results.filter(({ passed }) => !passed);
  if (failures.length > 0) throw new ConfigurationError(named(failures, directory));
  return bundle;
}

function modelOf(test: PolicyTest): string | undefined {
  if (!('ask' in test)) return test.model;
  const { type, id } = test.ask.resource;
  return type === 'model' ? id : undefined;
}

const isServed = (model: string | undefined, { models }: PolicyContext): boolean =>
  model === undefined || models.has(model);

function readTests(directory: string, bundle: Bundle): readonly TestFile[] {
  const findings: Finding[] = [];
  const files = testFilesOf(directory).flatMap((path) => {
    try {
      const file = readTestFile(path);
      findings.push(...referenceFindings(file, { bundle }));
      return [file];
    } catch (error) {
      if (!(error instanceof ConfigurationError)) throw error;
      findings.push(...error.findings);
      return [];
    }
  });
  if (findings.length > 0) throw new ConfigurationError(findings);
  return files;
}

function named(failures: readonly TestResult[], directory: string): Finding[] {
  const findings = failures.slice(0, mostNamed).map((failure): Finding => {
    const { file, line, test } = failure;
    return {
      file,
      line,
      column: 1,
      keyPath: '',
      code: testFailed,
      message: `the test "${test.name}" fails: ${outcomeOf(failure)}`,
    };
  });
  const rest = failures.length - findings.length;
  if (rest > 0) findings.push(wholeFile(join(directory, 'tests'), testFailed, `${rest} further tests fail`));
  return findings;
}

function outcomeOf({ test, answer }: TestResult): string {
  const wanted = [
    test.expect,
    ...(test.by === undefined ? [] : [`by ${test.by}`]),
    ...(test.because === undefined ? [] : [`because ${test.because}`]),
  ].join(' ');
  if (answer === null) return `expected ${wanted}, got no answer`;
  const got = answer.refusal?.code ?? 'permit';
  const by = answer.decidedBy === null ? '' : ` by ${answer.decidedBy}`;
  const codes = reasonCodes(answer);
  return `expected ${wanted}, got ${got}${by}${codes.length === 0 ? '' : ` (${codes.join(', ')})`}`;
}
