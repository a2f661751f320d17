// Runs policy tests against a compiled bundle. Pure but for the clock that measures it.
import { isDeepStrictEqual } from 'node:util';
import { shownObligations, type ObligationsEntry } from '../../authorize/index.ts';
import { answerAsked, type AskedAnswer } from './ask.ts';
import { withRelations, type Answer, type Evaluator, type Question } from './evaluate.ts';
import { syntheticCertificate } from './synthetic-certificate.ts';
import { syntheticToken, type TokenSurroundings } from './synthetic-token.ts';
import type { TestFile } from './test-files.ts';
import type { PolicyTest, RequestTest } from './test-schema.ts';

/** What becomes of a request, or of a question of another service. */
export type TestAnswer = Answer | AskedAnswer;

/** One test with what became of it. */
export interface TestResult {
  readonly test: PolicyTest;
  readonly file: string;
  readonly line: number;
  readonly passed: boolean;
  /** Null when the bundle no longer has what the test asks about (a mutation took it away). */
  readonly answer: TestAnswer | null;
  readonly seconds: number;
}

/** A test and where it is written. */
export interface PlacedTest {
  readonly test: PolicyTest;
  readonly file: string;
  readonly line: number;
}

/** The tests of some files, in order. */
export function placedTests(files: readonly TestFile[]): PlacedTest[] {
  return files.flatMap((file) =>
    file.value.map((test, index) => ({
      test,
      file: file.file,
      line: file.finding([index, 'name'], '').line,
    })),
  );
}

/** Runs every test. */
export function runTests(
  tests: readonly PlacedTest[],
  evaluator: Evaluator,
  surroundings: TokenSurroundings,
): TestResult[] {
  return tests.map((placed) => {
    const startedAt = performance.now();
    const answer = answerTo(placed.test, evaluator, surroundings);
    const seconds = (performance.now() - startedAt) / 1_000;
    return { ...placed, answer, passed: isAsExpected(placed.test, answer), seconds };
  });
}

/** What the bundle answers to a test. */
export function answerTo(
  test: PolicyTest,
  evaluator: Evaluator,
  surroundings: TokenSurroundings,
): TestAnswer {
  const now = Date.parse(test.now);
  if ('ask' in test) return answerAsked(test.ask, withRelations(evaluator.snapshot, test.relations), now);
  return evaluator.answer({
    credential: credentialOf(test.as, now, surroundings),
    action: test.do,
    route: test.route ?? null,
    model: test.model ?? null,
    request: test.request ?? null,
    ...(test.headers === undefined ? {} : { headers: test.headers }),
    now,
    from: test.from,
    ...(test.relations === undefined ? {} : { relations: test.relations }),
  });
}

function credentialOf(
  as: RequestTest['as'],
  now: number,
  surroundings: TokenSurroundings,
): Question['credential'] {
  if (as === 'nobody') return null;
  if (as.certificate !== undefined) return { certificate: syntheticCertificate(as.certificate, now) };
  if (as.basic === undefined) return syntheticToken(as, now, surroundings);
  const { basic, issuers } = surroundings.issuers;
  const [issuer] = Object.entries(issuers).find(([, entry]) => entry.issuer === 'embedded') ?? [];
  // Without the section a password is no credential.
  if (basic === undefined || issuer === undefined) return null;
  return syntheticToken({ ...as, issuer, subject: as.subject ?? as.basic }, now, surroundings);
}

/** Every code that speaks for this answer: the refusal's private reason and the codes of the decision. */
export function reasonCodes({ refusal, decision, decidedBy }: TestAnswer): string[] {
  const deciding = decision?.reasons.filter((reason) => reason.rule === (decidedBy ?? 'default')) ?? [];
  const stated = [refusal?.reason, decision?.code, ...deciding.map((reason) => reason.code)];
  return [...new Set(stated.filter((code) => code !== undefined))];
}

function isAsExpected(test: PolicyTest, answer: TestAnswer): boolean {
  const { refusal } = answer;
  const code = refusal?.code ?? 'permit';
  const isOutcome = test.expect === 'deny' ? refusal !== null : test.expect === code;
  const isDecider = test.by === undefined || test.by === answer.decidedBy;
  return (
    isOutcome &&
    isDecider &&
    (test.because === undefined || reasonCodes(answer).includes(test.because)) &&
    (test.expect_obligations === undefined || isBoundAs(test.expect_obligations, answer))
  );
}

/** Whether each obligation that is stated is what applies; lists in any order. */
function isBoundAs(expected: 'none' | ObligationsEntry, { obligations }: TestAnswer): boolean {
  if (expected === 'none' || obligations === null) return expected === 'none' && obligations === null;
  const found: Readonly<Record<string, unknown>> = { ...shownObligations(obligations) };
  return Object.entries(expected).every(
    ([name, value]) => value === undefined || isDeepStrictEqual(sorted(value), sorted(found[name])),
  );
}

const sorted = (value: unknown): unknown =>
  Array.isArray(value) ? (value as readonly string[]).toSorted() : value; // Lists of obligations hold names.
