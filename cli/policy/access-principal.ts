// Who a principal is for `policy access --principal`: what its newest recorded request claimed, or, if none is recorded,
// its assignments in roles.yaml.
import { GatewayError } from '../../core/errors.ts';
import { readDecisions, type RecordedDecision } from '../../gateway/accounting/decision-files.ts';
import type { Evaluator } from '../../gateway/policies/evaluation/evaluate.ts';
import { judgedAnew } from '../../gateway/policies/evaluation/redecide.ts';
import type { Principal } from '../../gateway/principal.ts';
import { exitCodes } from '../exit-codes.ts';
import { CommandFailure } from '../failure.ts';
import { printable } from '../wording.ts';
import { holderOf } from './access.ts';
import type { OpenedPolicies } from './opened-policies.ts';

/** A principal, and what is known of it. */
export interface KnownPrincipal {
  readonly principal: Principal;
  /** The request whose claims are taken; null when roles.yaml alone speaks. */
  readonly record: RecordedDecision | null;
}

/**
 * Finds a principal by its key or its subject.
 * Checks: that one principal alone is meant, and that issuers.yaml still accepts the claims of its newest record. Does
 * not check: whether the account is still there, and credentials that are revoked.
 * @throws CommandFailure when nobody, or more than one, is meant
 */
export async function findPrincipal(
  named: string,
  opened: OpenedPolicies,
  evaluator: Evaluator,
): Promise<KnownPrincipal> {
  const newest = new Map<string, RecordedDecision>();
  for await (const decision of readDecisions(opened.decisionFolder, 0)) {
    const { key, subject } = decision.principal;
    if (key !== named && subject !== named) continue;
    if ((newest.get(key)?.at ?? Number.NEGATIVE_INFINITY) <= decision.at) newest.set(key, decision);
  }
  const exact = newest.get(named);
  const [record, another] = exact === undefined ? newest.values() : [exact];
  if (record === undefined) return { principal: assigned(named, opened, evaluator), record: null };
  if (another !== undefined) throw ambiguous(named, [...newest.keys()]);
  const principal = judgedAnew(record, evaluator);
  if (!(principal instanceof GatewayError)) return { principal, record };
  throw new CommandFailure(
    exitCodes.refused,
    `These policies refuse the access token of ${printable(record.principal.key)} (${record.id}): ${principal.code}.`,
    { hints: [printable(principal.reason ?? '')], code: 'refused' },
  );
}

/** Somebody of whom only assignments speak: those that name the subject. */
function assigned(
  named: string,
  { bundle, decisionFolder }: OpenedPolicies,
  { issuers }: Evaluator,
): Principal {
  const all = Object.keys(bundle.issuers.issuers);
  const holders = all.flatMap((issuerName) => {
    const known = [...issuers.values()].filter(({ name }) => name === issuerName);
    const { issuer } = known.find((each) => named.startsWith(`${each.issuer} `)) ??
      known[0] ?? { issuer: '' };
    const subject = named.startsWith(`${issuer} `) ? named.slice(issuer.length + 1) : named;
    const isNamed = bundle.roles.assignments.some(
      ({ subjects, issuers: only }) =>
        subjects?.includes(subject) === true && (only === undefined || only.includes(issuerName)),
    );
    return isNamed ? [{ ...holderOf([], issuerName), issuer, subject, key: `${issuer} ${subject}` }] : [];
  });
  const [holder, another] = holders;
  if (holder === undefined)
    throw new CommandFailure(exitCodes.usage, `No principal ${printable(named)} is known.`, {
      hints: [
        'roles.yaml assigns nothing to this subject.',
        `Looked for its requests in ${decisionFolder}; the gateway records there unless gateway.decisions.record is false.`,
      ],
      code: 'unknown_name',
    });
  if (another !== undefined)
    throw ambiguous(
      named,
      holders.map(({ key }) => key),
    );
  return holder;
}

function ambiguous(named: string, keys: readonly string[]): CommandFailure {
  return new CommandFailure(exitCodes.usage, `${printable(named)} is a subject of more than one issuer.`, {
    hints: keys.map((key) => `--principal '${printable(key)}'`),
    code: 'ambiguous_name',
  });
}

/** What an answer stands on, in one line. */
export function standsOn({ principal, record }: KnownPrincipal): string {
  const who = `${printable(principal.subject)} (${principal.issuerName})`;
  if (record === null) return `${who}: assignments only, no recorded request`;
  const { at, id, from, omitted } = record;
  const left = omitted.length === 0 ? '' : `; not recorded, so taken as absent: ${omitted.join(', ')}`;
  return `${who}: claims of ${new Date(at).toISOString()}, request ${id}, from ${from}${left}`;
}
