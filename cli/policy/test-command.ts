// `sallyport policy test [DIR]`: runs policies/tests/*.yaml against the bundle, offline. No tests is a failure, never a
// success; so is a filter that matches nothing.
import { ConfigurationError } from '../../core/yaml-file.ts';
import { exitCodes, type ExitCode } from '../exit-codes.ts';
import { CommandFailure } from '../failure.ts';
import type { Terminal } from '../terminal.ts';
import { accessOf } from './access.ts';
import { coverageOf } from './coverage.ts';
import { createEvaluator, type Evaluator } from '../../gateway/policies/evaluation/evaluate.ts';
import { mutationsOf, type Mutation } from './mutations.ts';
import { openPolicies, type OpenedPolicies, type PolicyOptions } from './opened-policies.ts';
import { paintFor } from './paint.ts';
import {
  placedTests,
  runTests,
  type PlacedTest,
  type TestResult,
} from '../../gateway/policies/evaluation/run-tests.ts';
import type { TokenSurroundings } from '../../gateway/policies/evaluation/synthetic-token.ts';
import {
  referenceFindings,
  testFilesOf,
  readTestFile,
} from '../../gateway/policies/evaluation/test-files.ts';
import { usualNow } from '../../gateway/policies/evaluation/test-schema.ts';
import { formatTests, type MutationOutcome, type TestFormat, type TestReport } from './test-formats.ts';

export interface TestOptions extends PolicyOptions {
  readonly format: TestFormat;
  readonly filter?: string;
  readonly minCoverage?: number;
  readonly mutate?: boolean;
  readonly verbose?: boolean;
}

/** Runs the tests; 5 when one fails, none was found, coverage is too low or a mutation survives. */
export function testCommand(
  directory: string | undefined,
  options: TestOptions,
  terminal: Terminal,
): ExitCode {
  const startedAt = performance.now();
  const opened = openPolicies(directory, options);
  const tests = selectTests(readTests(opened), options.filter, opened.directory);
  const evaluator = createEvaluator(opened);
  const surroundings = { issuers: opened.bundle.issuers, embeddedIssuer: opened.context.embeddedIssuer };
  const results = runTests(tests, evaluator, surroundings);
  const mutations =
    options.mutate === true ? survivors(opened, { tests, results, evaluator, surroundings }) : null;
  const report: TestReport = {
    opened,
    results,
    coverage: coverageOf(results, opened),
    minCoverage: options.minCoverage ?? null,
    mutations,
    durationMs: performance.now() - startedAt,
  };
  const format = options.json === true ? 'json' : options.format;
  terminal.write(
    formatTests(report, format, { paint: paintFor(terminal), verbose: options.verbose === true }),
  );
  return isGood(report) ? exitCodes.done : exitCodes.testsFailed;
}

/** Whether the run is a success. */
function isGood({ results, coverage, minCoverage, mutations }: TestReport): boolean {
  return (
    results.every((result) => result.passed) &&
    (minCoverage === null || coverage.percent >= minCoverage) &&
    mutations?.some((mutation) => mutation.outcome === 'survived') !== true
  );
}

function readTests(opened: OpenedPolicies): PlacedTest[] {
  const files = testFilesOf(opened.directory).map(readTestFile);
  const unknown = files.flatMap((file) => referenceFindings(file, opened));
  if (unknown.length > 0) throw new ConfigurationError(unknown);
  return placedTests(files);
}

function selectTests(
  tests: readonly PlacedTest[],
  filter: string | undefined,
  directory: string,
): PlacedTest[] {
  if (tests.length === 0)
    throw new CommandFailure(exitCodes.testsFailed, `No tests in ${directory}/tests.`, {
      hints: ['A test is a name, who asks, for what, and what is expected: docs/how-to/first-policy.md.'],
      code: 'no_tests',
    });
  if (filter === undefined) return [...tests];
  const wanted = filter.toLowerCase();
  const selected = tests.filter(({ test, file }) => `${file} ${test.name}`.toLowerCase().includes(wanted));
  if (selected.length === 0)
    throw new CommandFailure(exitCodes.testsFailed, `No test's name or file contains "${filter}".`, {
      hints: [`There are ${tests.length} tests without the filter.`],
      code: 'no_tests',
    });
  return selected;
}

interface Baseline {
  readonly tests: readonly PlacedTest[];
  readonly results: readonly TestResult[];
  readonly evaluator: Evaluator;
  readonly surroundings: TokenSurroundings;
}

/** Runs the tests against every mutation. The tokens stay those of the bundle itself: only its judgement changes. */
function survivors(opened: OpenedPolicies, baseline: Baseline): MutationOutcome[] {
  const verdicts = JSON.stringify(baseline.results.map((result) => result.passed));
  const access = accessText(opened, baseline.evaluator);
  return mutationsOf(opened.bundle).map((mutation) => {
    const evaluator = createEvaluator({ bundle: mutation.bundle, context: opened.context });
    const results = runTests(baseline.tests, evaluator, baseline.surroundings);
    const isNoticed = JSON.stringify(results.map((result) => result.passed)) !== verdicts;
    const outcome = isNoticed
      ? 'noticed'
      : isEquivalent(mutation, accessText(opened, evaluator), access)
        ? 'equivalent'
        : 'survived';
    return {
      description: mutation.description,
      place: opened.placeOf(mutation.file, mutation.path),
      outcome,
    };
  });
}

/** A change of a role that changes nobody's access, such as one model fewer in a role that inherits it: no test can see it. */
function isEquivalent({ path }: Mutation, mutated: string, access: string): boolean {
  return path[0] === 'roles' && mutated === access;
}

/** What roles may do, by a mutation's snapshot, on all that the bundle itself names. */
function accessText({ bundle }: Pick<OpenedPolicies, 'bundle'>, { snapshot }: Evaluator): string {
  // When most tests are: a rule over time hides from both what it hides from them.
  const moment = { now: Date.parse(usualNow), from: '127.0.0.1' };
  return JSON.stringify(
    accessOf(bundle, snapshot, moment).map(({ role, model, resource, action }) => [
      role,
      model,
      resource,
      action,
    ]),
  );
}
