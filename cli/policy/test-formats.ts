// The outcome of `policy test` for people and for CI systems.
import { packageVersion } from '../../core/package.ts';
import { shownObligations, type ShownObligations } from '../../gateway/authorize/index.ts';
import { explainAsked } from './asked-words.ts';
import type { Coverage } from './coverage.ts';
import { githubAnnotation, plural } from './finding-formats.ts';
import { junitDocument } from './junit.ts';
import { obligationWords } from './obligation-words.ts';
import type { OpenedPolicies } from './opened-policies.ts';
import type { Paint } from './paint.ts';
import { explainAnswer, inOneLine } from './reason-words.ts';
import { reasonCodes, type TestResult } from '../../gateway/policies/evaluation/run-tests.ts';

export const testFormats = ['human', 'json', 'github', 'sarif', 'junit'] as const;
export type TestFormat = (typeof testFormats)[number];

/** One mutation: noticed by a test, survived, or without any effect that a test could see. */
export interface MutationOutcome {
  readonly description: string;
  readonly place: string;
  readonly outcome: 'noticed' | 'survived' | 'equivalent';
}

export interface TestReport {
  readonly opened: OpenedPolicies;
  readonly results: readonly TestResult[];
  readonly coverage: Coverage;
  readonly minCoverage: number | null;
  /** Null without `--mutate`. */
  readonly mutations: readonly MutationOutcome[] | null;
  readonly durationMs: number;
}

/** Names of passed tests are listed up to this many in a file. */
const listedPasses = 8;
/** Roles and rules that no test was decided by, up to this many. */
const listedUndecided = 10;
/** GitHub shows ten annotations of a kind for a step. */
const shownAnnotations = 9;

/** The report in one format, with a newline at the end. */
export function formatTests(
  report: TestReport,
  format: TestFormat,
  shown: { readonly paint: Paint; readonly verbose: boolean },
): string {
  switch (format) {
    case 'human':
      return human(report, shown);
    case 'json':
      return `${JSON.stringify(jsonReport(report))}\n`;
    case 'github':
      return github(report);
    case 'sarif':
      return `${JSON.stringify(sarif(report), null, 2)}\n`;
    case 'junit':
      return junit(report);
  }
}

/** `permit by roles.LLM.User`, or `deny in authorize (model_not_found, model_not_permitted)`. */
function got({ answer, test }: TestResult): string {
  if (answer === null) return 'nothing';
  if (answer.refusal === null) {
    const { obligations } = answer;
    const bound =
      test.expect_obligations === undefined
        ? ''
        : `, bound to ${obligations === null ? 'nothing' : obligationWords(shownObligations(obligations))}`;
    return `permit by ${answer.decidedBy ?? 'nothing'}${bound}`;
  }
  const by = answer.decidedBy === null ? '' : ` by ${answer.decidedBy}`;
  if ('question' in answer) return `deny${by} (${answer.refusal.reason})`;
  const reason = answer.refusal.reason === undefined ? '' : `, ${answer.refusal.reason}`;
  return `deny in ${answer.stage ?? ''}${by} (${answer.refusal.code}${reason})`;
}

function expected({ test }: TestResult): string {
  const by = test.by === undefined ? '' : ` by ${test.by}`;
  const { expect_obligations: wanted } = test;
  const bound =
    wanted === undefined ? '' : `, bound to ${wanted === 'none' ? 'nothing' : obligationWords(wanted)}`;
  return `${test.expect}${by}${test.because === undefined ? '' : `, because ${test.because}`}${bound}`;
}

function failureLines(result: TestResult, opened: OpenedPolicies): string[] {
  const lines = [`expected  ${expected(result)}`, `got       ${got(result)}`];
  const because = becauseOf(result, opened);
  if (because !== null) lines.push(`because   ${because}`);
  return lines;
}

function becauseOf({ answer }: TestResult, opened: OpenedPolicies): string | null {
  if (answer === null) return null;
  return inOneLine('question' in answer ? explainAsked(answer, opened) : explainAnswer(answer, opened));
}

const failedOf = (report: TestReport): TestResult[] => report.results.filter((result) => !result.passed);

function human(report: TestReport, { paint, verbose }: { paint: Paint; verbose: boolean }): string {
  const { results, coverage, opened } = report;
  const lines: string[] = [];
  for (const file of new Set(results.map((result) => result.file))) {
    const own = results.filter((result) => result.file === file);
    const passed = own.filter((result) => result.passed);
    lines.push(paint.bold(file));
    const listsPasses = verbose || own.length <= listedPasses;
    for (const result of own) {
      if (result.passed) {
        if (listsPasses) lines.push(`  ${paint.green('✓')} ${result.test.name}`);
        continue;
      }
      const place = `${file.split('/').at(-1) ?? ''}:${result.line}`;
      lines.push(`  ${paint.red('✗')} ${result.test.name.padEnd(60)} ${paint.dim(place)}`);
      lines.push(...failureLines(result, opened).map((line) => `      ${line}`));
    }
    if (!listsPasses && passed.length > 0) lines.push(`  ${paint.green('✓')} ${passed.length} passed`);
  }
  const failed = failedOf(report).length;
  const count =
    failed === 0
      ? `${paint.green('✓')} ${plural(results.length, 'test')} passed`
      : `${paint.red('✗')} ${failed} of ${results.length} failed`;
  const tooLow =
    report.minCoverage !== null && coverage.percent < report.minCoverage
      ? paint.red(`, below the ${report.minCoverage} % asked for`)
      : '';
  lines.push(
    '',
    `${count}, ${Math.round(report.durationMs)} ms.  Decided by a test: ${coverage.decided} of ${coverage.total} roles and rules (${coverage.percent} %)${tooLow}.`,
    ...neverDecidedLines(coverage),
    ...mutationLines(report, paint),
    '',
  );
  return lines.join('\n');
}

function neverDecidedLines({ neverDecided }: Coverage): string[] {
  const lines = neverDecided
    .slice(0, listedUndecided)
    .map(({ name, place }) => `  never decided: ${place} ${name}`);
  const rest = neverDecided.length - lines.length;
  return rest > 0 ? [...lines, `  and ${rest} more: --json lists them`] : lines;
}

function mutationLines({ mutations }: TestReport, paint: Paint): string[] {
  if (mutations === null) return [];
  const of = (outcome: MutationOutcome['outcome']): readonly MutationOutcome[] =>
    mutations.filter((mutation) => mutation.outcome === outcome);
  const survived = of('survived');
  const equivalent = of('equivalent').length;
  const mark = survived.length === 0 ? paint.green('✓') : paint.red('✗');
  return [
    `${mark} ${of('noticed').length} of ${mutations.length - equivalent} mutations noticed${equivalent === 0 ? '' : `; ${equivalent} more would change nobody's access`}.`,
    ...survived.map(({ place, description }) => `  survived: ${place} ${description}`),
  ];
}

function jsonReport(report: TestReport): unknown {
  const { results, coverage, mutations, opened } = report;
  return {
    passed: failedOf(report).length === 0,
    digest: opened.bundle.digest,
    total: results.length,
    failed: failedOf(report).length,
    duration_ms: Math.round(report.durationMs),
    tests: results.map((result) => ({
      file: result.file,
      line: result.line,
      name: result.test.name,
      passed: result.passed,
      expected: {
        outcome: result.test.expect,
        by: result.test.by ?? null,
        because: result.test.because ?? null,
        obligations: result.test.expect_obligations ?? null,
      },
      got: {
        outcome: result.answer?.refusal?.code ?? 'permit',
        stage: result.answer === null || 'question' in result.answer ? null : result.answer.stage,
        by: result.answer?.decidedBy ?? null,
        reasons: result.answer === null ? [] : reasonCodes(result.answer),
        obligations: shownOf(result),
      },
      because: becauseOf(result, opened),
    })),
    coverage: {
      decided: coverage.decided,
      total: coverage.total,
      percent: coverage.percent,
      never_decided: coverage.neverDecided,
    },
    mutations,
  };
}

const shownOf = ({ answer }: TestResult): ShownObligations | null =>
  answer === null || answer.obligations === null ? null : shownObligations(answer.obligations);

function github(report: TestReport): string {
  const failed = failedOf(report);
  const annotations = failed.slice(0, shownAnnotations).map((result) =>
    githubAnnotation('error', {
      file: result.file,
      line: result.line,
      title: result.test.name,
      message: failureLines(result, report.opened).join('\n'),
    }),
  );
  const summary = `policy test: ${failed.length} of ${report.results.length} failed`;
  return [...annotations, `::notice title=policy test::${summary}`, ''].join('\n');
}

function sarif(report: TestReport): unknown {
  return {
    $schema: 'https://json.schemastore.org/sarif-2.1.0.json',
    version: '2.1.0',
    runs: [
      {
        tool: {
          driver: {
            name: 'sallyport policy test',
            version: packageVersion,
            rules: [{ id: 'policy_test_failed', shortDescription: { text: 'a policy test failed' } }],
          },
        },
        results: failedOf(report).map((result) => ({
          ruleId: 'policy_test_failed',
          ruleIndex: 0,
          level: 'error',
          message: { text: [result.test.name, ...failureLines(result, report.opened)].join('\n') },
          locations: [
            {
              physicalLocation: {
                artifactLocation: { uri: result.file.split('/').map(encodeURIComponent).join('/') },
                region: { startLine: result.line },
              },
            },
          ],
        })),
      },
    ],
  };
}

function junit(report: TestReport): string {
  const files = [...new Set(report.results.map((result) => result.file))];
  return junitDocument(
    'policy test',
    files.map((file) => ({
      name: file,
      cases: report.results
        .filter((result) => result.file === file)
        .map((result) => ({
          name: result.test.name,
          seconds: result.seconds,
          ...(result.passed ? {} : { failure: failureLines(result, report.opened).join('\n') }),
        })),
    })),
  );
}
