// `sallyport policy replay --candidate DIR`: the decisions that the gateway recorded, made again under other policies.
// Reads files only.
import type { Bundle } from '../../gateway/policies/bundle.ts';
import { readDecisions } from '../../gateway/accounting/decision-files.ts';
import { createEvaluator } from '../../gateway/policies/evaluation/evaluate.ts';
import { createRedecider } from '../../gateway/policies/evaluation/redecide.ts';
import { exitCodes, type ExitCode } from '../exit-codes.ts';
import { CommandFailure } from '../failure.ts';
import type { Terminal } from '../terminal.ts';
import { parseDuration } from '../wording.ts';
import { openPolicies, type OpenedPolicies, type PolicyOptions } from './opened-policies.ts';
import { paintFor } from './paint.ts';
import { differs, replay, type ReplayQuestion } from './replay.ts';
import { formatReplay, replayCsv, type replayFormats } from './replay-formats.ts';

export interface ReplayOptions extends PolicyOptions {
  readonly candidate: string;
  readonly since: string;
  readonly live?: boolean;
  readonly format: (typeof replayFormats)[number];
}

/** Replays; 5 when a decision differs or there is none to compare. */
export async function replayCommand(options: ReplayOptions, terminal: Terminal): Promise<ExitCode> {
  const candidate = openPolicies(options.candidate, options);
  const sinceMs = sinceOf(options.since, Date.now());
  const report = await replay({
    decisions: readDecisions(candidate.decisionFolder, sinceMs),
    sinceMs,
    candidate: deciderOf(candidate),
    notesOn: (omitted) => notesOn(candidate.bundle, omitted),
    live: options.live === true ? deciderOf(openPolicies(undefined, options)) : null,
  });
  if (options.json === true || options.format === 'json') terminal.json(report);
  else if (options.format === 'csv') terminal.write(replayCsv(report));
  else terminal.write(formatReplay(report, { paint: paintFor(terminal), opened: candidate }));
  if (report.decisions === 0)
    terminal.say(
      `Looked in ${candidate.decisionFolder}; the gateway records there unless gateway.decisions.record is false.`,
    );
  return report.decisions === 0 || differs(report) ? exitCodes.testsFailed : exitCodes.done;
}

function deciderOf(opened: OpenedPolicies): ReplayQuestion['candidate'] {
  return { digest: opened.bundle.digest, decide: createRedecider(createEvaluator(opened)) };
}

/** What a candidate reads that no record holds. */
function notesOn({ rules, issuers }: Bundle, omitted: ReadonlySet<string>): string[] {
  const expressions = rules.rules.map(({ when }) => when ?? '').join('\n');
  const claims = JSON.stringify(Object.values(issuers.issuers).map(({ claims: places }) => places));
  const read = [...omitted].filter(
    (claim) =>
      new RegExp(`\\b${claim.replaceAll(/\W/g, '.')}\\b`).test(expressions) || claims.includes(`"${claim}"`),
  );
  return [
    ...(read.length === 0
      ? []
      : [`Not recorded, so taken as absent: ${read.join(', ')} (gateway.decisions.omit_claims).`]),
    ...(/\brelated\s*\(/.test(expressions) ? ['related() was asked of relations.yaml alone.'] : []),
    ...(/\brequest\s*\.\s*headers\b/.test(expressions)
      ? ['request.headers was taken as empty: headers are not recorded.']
      : []),
  ];
}

/** `7d` before now, or a point in time. */
function sinceOf(text: string, nowMs: number): number {
  const seconds = parseDuration(text);
  const since = seconds === null ? Date.parse(text) : nowMs - seconds * 1_000;
  if (Number.isNaN(since))
    throw new CommandFailure(
      exitCodes.usage,
      '--since is a duration such as 7d or 12h, or a time such as 2026-11-22T10:00:00Z.',
      {
        code: 'usage',
      },
    );
  return since;
}
