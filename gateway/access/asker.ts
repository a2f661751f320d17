// Who asks: how long the event loop may be kept, whether reasons are shown, and what the audit record says of it.
import { decideAsking, evaluationRequest } from '../authorize/index.ts';
import type { Asked, Guarded, Searched } from '../exchange.ts';
import type { Answer, Circumstances } from './judge.ts';
import type { Question } from './question.ts';

/** Permits an asking service to learn why. */
export const explainAction = 'access.explain';

/** The asking service, for one request. */
export interface Asker extends Circumstances {
  /** Whether reasons are shown. */
  readonly explains: boolean;
  /** Writes a question and its answer to the audit record. */
  note(question: Pick<Question, 'subject' | 'action' | 'resource'>, answer: Answer): void;
  /** The same for a search. */
  noteSearch(search: Searched): void;
  /** Lets other requests run when this one has taken a while. */
  breathe(): Promise<void> | undefined;
}

const longestTurnMs = 10;

/** The asking service of a request. */
export async function askerOf(guarded: Guarded, asked: (Asked | Searched)[]): Promise<Asker> {
  const { snapshot, receivedAt } = guarded;
  let since = performance.now();
  return {
    snapshot,
    now: receivedAt,
    explains: await mayLearnWhy(guarded),
    note({ subject, action, resource }, { permitted, code }) {
      asked.push({
        subject: `${subject.type}:${subject.id}`,
        action: action.name,
        resource: `${resource.type}:${resource.id}`,
        permitted,
        code,
      });
    },
    noteSearch: (search) => void asked.push(search),
    breathe() {
      if (performance.now() - since < longestTurnMs) return undefined;
      return new Promise((resolve) => {
        setImmediate(() => {
          since = performance.now();
          resolve();
        });
      });
    },
  };
}

async function mayLearnWhy(guarded: Guarded): Promise<boolean> {
  const request = { ...evaluationRequest(guarded, null), action: { name: explainAction } };
  return (await decideAsking(request, guarded.snapshot)).decision === 'permit';
}
