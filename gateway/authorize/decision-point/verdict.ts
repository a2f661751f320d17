// What a decision point said, or why it said nothing.
import type { RequiredSignIn } from '../../../core/errors.ts';

/** One answer. */
export type Verdict =
  | { readonly kind: 'permit' }
  | {
      readonly kind: 'deny';
      /** For the audit record alone. */
      readonly reason: string | null;
      /** The sign-in that would be enough, where it says so. */
      readonly stepUp: RequiredSignIn | null;
    }
  /** It could not be reached, was silent, or not well. */
  | { readonly kind: 'unreachable'; readonly problem: string }
  /** It answered, but not the question: this never permits. */
  | { readonly kind: 'invalid'; readonly problem: string };

/** No verdict, and why. */
export type NoVerdict = Extract<Verdict, { readonly problem: string }>;

type Json = Readonly<Record<string, unknown>>;

/** The verdict in an Access Evaluation response; exactly `true` permits. */
export function verdictIn(answer: unknown): Verdict {
  const decision = isObject(answer) ? answer['decision'] : undefined;
  // AuthZEN 1.0 §5.5: the decision is a boolean; nothing else is one.
  if (!isObject(answer) || typeof decision !== 'boolean')
    return { kind: 'invalid', problem: 'the answer has no decision' };
  if (decision) return { kind: 'permit' };
  const context = isObject(answer['context']) ? answer['context'] : {};
  return { kind: 'deny', reason: reasonIn(context), stepUp: stepUpIn(context) };
}

/** Verdicts of an Access Evaluations response, in the order of the questions. */
export function verdictsIn(answer: Json | null, count: number): readonly Verdict[] {
  const given = answer?.['evaluations'];
  // AuthZEN 1.0 §7.2: decisions come in the order of the questions; another number of them answers something else.
  if (!Array.isArray(given) || given.length !== count)
    return Array.from({ length: count }, () => ({
      kind: 'invalid',
      problem: 'the answer has not one decision for each question',
    }));
  return given.map(verdictIn);
}

/** `reason_admin` before `reason` before an error, as text or the first text of an object by language. */
function reasonIn(context: Json): string | null {
  for (const key of ['reason_admin', 'reason', 'error', 'id']) {
    const value = context[key];
    const text = isObject(value) ? Object.values(value).find((each) => typeof each === 'string') : value;
    if (typeof text === 'string' && text !== '') return printable(text);
  }
  return null;
}

const printable = (text: string): string => text.replaceAll(/[\p{C}\s]+/gu, ' ').slice(0, 200);

/** `acr_values` and `max_age` in a denial: the caller may come back with a better sign-in (RFC 9470). */
function stepUpIn(context: Json): RequiredSignIn | null {
  const given = context['acr_values'];
  const words =
    typeof given === 'string' ? given.split(' ') : Array.isArray(given) ? (given as unknown[]) : [];
  // RFC 9470 §3: acr_values stand in a quoted string.
  const acrValues = words.filter(
    (word): word is string => typeof word === 'string' && /^[\x21\x23-\x5b\x5d-\x7e]{1,200}$/.test(word),
  );
  const age = context['max_age'];
  const maxAge = typeof age === 'number' && Number.isSafeInteger(age) && age >= 0 ? age : null;
  return acrValues.length === 0 && maxAge === null ? null : { acrValues: acrValues.slice(0, 8), maxAge };
}

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
