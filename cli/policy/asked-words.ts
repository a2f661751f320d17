// Why another service would be answered as it is, in plain words with the place in the policies that says so.
import type { AskedAnswer } from '../../gateway/policies/evaluation/ask.ts';
import { printable } from '../wording.ts';
import type { OpenedPolicies } from './opened-policies.ts';
import { deciderPlace, ruleWords, type Explanation } from './reason-words.ts';
import { shownList } from './shown-value.ts';

/** Why the answer to a question is what it is. */
export function explainAsked(answer: AskedAnswer, opened: OpenedPolicies): Explanation {
  const { question, refusal, decision, decidedBy } = answer;
  const { action, resource } = question;
  if (decision === null) return { place: null, text: whyNotAsked(answer) };
  const asked = `${action.name} on ${printable(`${resource.type}:${resource.id}`)}`;
  if (decidedBy === null)
    return {
      place: opened.placeOf('roles.yaml', ['roles']),
      text: `no role held (${shownList(decision.roles) || 'none'}) and no rule permits ${asked} (${decision.code})`,
    };
  return { place: deciderPlace(decidedBy, opened), text: deciderWords(decidedBy) };

  function deciderWords(id: string): string {
    if (id === 'anonymous') return 'the route is open to anybody';
    if (id.startsWith('rules.'))
      return ruleWords(id.slice('rules.'.length), { isPermit: refusal === null, decision, asked }, opened);
    return refusal === null
      ? `role ${id.slice('roles.'.length)} permits ${asked}`
      : 'holds two roles that nobody may combine';
  }
}

/** Why no rule was asked. */
function whyNotAsked({ question, refusal }: AskedAnswer): string {
  const code = refusal?.reason ?? '';
  switch (code) {
    case 'subject_not_a_principal':
      return `only a principal may do anything on a ${question.resource.type}`;
    case 'subject_mismatch':
      return 'the claims that are stated are those of another subject';
    case 'unbound':
      return 'the route asks for an access token that is bound to a key';
    default:
      return `the claims that are stated make no principal (${code})`;
  }
}
