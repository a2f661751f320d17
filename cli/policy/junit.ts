// JUnit XML, as GitLab, Jenkins and Azure Pipelines read it.

/** One test case; with a failure it failed. */
export interface JunitCase {
  readonly name: string;
  readonly seconds?: number;
  readonly failure?: string;
  readonly output?: string;
}

export interface JunitSuite {
  readonly name: string;
  readonly cases: readonly JunitCase[];
}

/** A document with its suites. */
export function junitDocument(name: string, suites: readonly JunitSuite[]): string {
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites name="${escaped(name)}" ${totals(suites.flatMap((suite) => suite.cases))}>`,
    ...suites.flatMap((suite) => [
      `  <testsuite name="${escaped(suite.name)}" ${totals(suite.cases)} errors="0" skipped="0">`,
      ...suite.cases.map((each) => caseElement(suite.name, each)),
      '  </testsuite>',
    ]),
    '</testsuites>',
    '',
  ].join('\n');
}

function totals(cases: readonly JunitCase[]): string {
  const seconds = cases.reduce((sum, each) => sum + (each.seconds ?? 0), 0);
  const failures = cases.filter((each) => each.failure !== undefined).length;
  return `tests="${cases.length}" failures="${failures}" time="${seconds.toFixed(3)}"`;
}

function caseElement(suite: string, { name, seconds = 0, failure, output }: JunitCase): string {
  const head = `    <testcase name="${escaped(name)}" classname="${escaped(suite)}" time="${seconds.toFixed(3)}"`;
  if (failure !== undefined)
    return `${head}><failure message="${escaped(failure.split('\n')[0] ?? '')}">${escaped(failure)}</failure></testcase>`;
  return output === undefined
    ? `${head}/>`
    : `${head}><system-out>${escaped(output)}</system-out></testcase>`;
}

/** Control characters cannot stand in XML at all. */
function escaped(text: string): string {
  return text
    .replaceAll(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '?')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
