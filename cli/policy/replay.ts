// Recorded decisions made again under a candidate: who gains, who loses. Counts; prints nothing.
import type { RecordedDecision } from '../../gateway/accounting/decision-files.ts';
import type { Redecision } from '../../gateway/policies/evaluation/redecide.ts';

/** A decision as it was and as it would be. */
type Verdict = Pick<Redecision, 'decision' | 'code' | 'by'>;

/** Decisions of one principal on one action and model that change alike. */
export interface ReplayChange {
  readonly principal: string;
  readonly issuer: string;
  readonly client_id: string | null;
  readonly action: string;
  readonly model: string | null;
  readonly before: Verdict;
  readonly after: Redecision;
  count: number;
  first_at: string;
  last_at: string;
  /** The newest of them. */
  request_id: string;
}

/** What a replay found; this is also what `--json` prints. */
export interface ReplayReport {
  readonly since: string;
  /** Decisions that were made again, and whose. */
  readonly decisions: number;
  readonly principals: number;
  readonly first_at: string | null;
  readonly last_at: string | null;
  /** Bundles that decided, by digest, with how many decisions. */
  readonly recorded_under: Readonly<Record<string, number>>;
  readonly candidate: string;
  /** `recorded`: with what was decided then; else the digest of the bundle whose decisions stand for it. */
  readonly compared_with: string;
  readonly unchanged: number;
  /** Permitted or refused alike, by another role or rule. */
  readonly other_decider: number;
  readonly gains: readonly ReplayChange[];
  readonly loses: readonly ReplayChange[];
  /** Refused before and after, with another code. */
  readonly other_refusal: readonly ReplayChange[];
  /** What the candidate reads and the records do not hold: its answers may differ for that. */
  readonly notes: readonly string[];
}

/** What is asked of a replay. */
export interface ReplayQuestion {
  readonly decisions: AsyncIterable<RecordedDecision>;
  readonly sinceMs: number;
  readonly candidate: { readonly digest: string; readonly decide: (asked: RecordedDecision) => Redecision };
  /** What may be said once it is known which claims the records leave out. */
  readonly notesOn: (omitted: ReadonlySet<string>) => readonly string[];
  /** The bundle that stands for what was decided then; null compares with the record. */
  readonly live: ReplayQuestion['candidate'] | null;
}

/** Makes every decision again. */
export async function replay(question: ReplayQuestion): Promise<ReplayReport> {
  const { candidate, live } = question;
  const changes = { gains: new Changes(), loses: new Changes(), other_refusal: new Changes() };
  const principals = new Set<string>();
  const omitted = new Set<string>();
  const recordedUnder = new Map<string, number>();
  let [decisions, unchanged, otherDecider] = [0, 0, 0];
  let [firstAt, lastAt] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for await (const recorded of question.decisions) {
    decisions++;
    principals.add(recorded.principal.key);
    for (const claim of recorded.omitted) omitted.add(claim);
    recordedUnder.set(recorded.policy, (recordedUnder.get(recorded.policy) ?? 0) + 1);
    [firstAt, lastAt] = [Math.min(firstAt, recorded.at), Math.max(lastAt, recorded.at)];
    const before: Verdict = live === null ? recorded : live.decide(recorded);
    const after = candidate.decide(recorded);
    if (before.decision === after.decision && before.code === after.code) {
      unchanged++;
      if (before.by !== after.by) otherDecider++;
    } else changes[kindOf(before, after)].add(recorded, before, after);
  }
  return {
    since: isoTime(question.sinceMs),
    decisions,
    principals: principals.size,
    first_at: decisions === 0 ? null : isoTime(firstAt),
    last_at: decisions === 0 ? null : isoTime(lastAt),
    recorded_under: Object.fromEntries(recordedUnder),
    candidate: candidate.digest,
    compared_with: live?.digest ?? 'recorded',
    unchanged,
    other_decider: otherDecider,
    gains: changes.gains.sorted(),
    loses: changes.loses.sorted(),
    other_refusal: changes.other_refusal.sorted(),
    notes: question.notesOn(omitted),
  };
}

/** Whether a candidate answers differently; another role or rule behind the same answer does not count. */
export function differs({ gains, loses, other_refusal: refusals }: ReplayReport): boolean {
  return gains.length + loses.length + refusals.length > 0;
}

function kindOf(before: Verdict, after: Verdict): 'gains' | 'loses' | 'other_refusal' {
  if (before.decision === after.decision) return 'other_refusal';
  return after.decision === 'permit' ? 'gains' : 'loses';
}

class Changes {
  readonly #byKey = new Map<string, ReplayChange>();

  add({ principal, action, model, at, id }: RecordedDecision, before: Verdict, after: Redecision): void {
    const key = JSON.stringify([
      principal.key,
      principal.clientId,
      action,
      model,
      before.by,
      before.code,
      after.by,
      after.code,
    ]);
    const known = this.#byKey.get(key);
    if (known === undefined) {
      this.#byKey.set(key, {
        principal: principal.key,
        issuer: principal.issuerName,
        client_id: principal.clientId,
        action,
        model,
        before: { decision: before.decision, code: before.code, by: before.by },
        after,
        count: 1,
        first_at: isoTime(at),
        last_at: isoTime(at),
        request_id: id,
      });
      return;
    }
    known.count++;
    if (isoTime(at) < known.first_at) known.first_at = isoTime(at);
    if (isoTime(at) < known.last_at) return;
    known.last_at = isoTime(at);
    known.request_id = id;
  }

  sorted(): ReplayChange[] {
    return [...this.#byKey.values()].toSorted((left, right) => right.count - left.count);
  }
}

const isoTime = (ms: number): string => new Date(ms).toISOString();
