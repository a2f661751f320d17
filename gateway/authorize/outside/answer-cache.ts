// Answers of a service elsewhere: kept for a while, and asked once however many requests want the same at the same time.
import { LRUCache } from 'lru-cache';

/** Bounds of what is kept. */
export interface AnswerCacheOptions<Answer> {
  readonly entries: number;
  /** 0: nothing is kept; who asks at the same time still shares one answer. */
  readonly ttlMs: number;
  /** Whether an answer may be used again: one that says that there was none may not. */
  readonly keeps: (answer: Answer) => boolean;
  /** So many answers were had without asking. */
  readonly onHits: (count: number) => void;
}

/** Asks about the questions at some positions; must not reject. */
export type AskPositions<Answer> = (positions: readonly number[]) => Promise<readonly Answer[]>;

/** Keeps answers by question. */
export interface AnswerCache<Answer> {
  /** The answers to distinct questions, in their order; `ask` gets the positions of those that nobody is asking yet. */
  answers(questions: readonly string[], ask: AskPositions<Answer>): Promise<readonly Answer[]>;
}

/** Creates an empty cache. */
export function createAnswerCache<Answer>(options: AnswerCacheOptions<Answer>): AnswerCache<Answer> {
  const { entries, ttlMs, keeps, onHits } = options;
  const kept = ttlMs === 0 ? null : new LRUCache<string, { answer: Answer }>({ max: entries, ttl: ttlMs });
  const underWay = new Map<string, Promise<Answer>>();

  const askFor = (
    positions: readonly number[],
    questions: readonly string[],
    ask: AskPositions<Answer>,
  ): void => {
    const asked = ask(positions);
    for (const [place, position] of positions.entries()) {
      const question = questions[position] ?? '';
      underWay.set(
        question,
        asked.then((answers) => {
          underWay.delete(question);
          const answer = answers[place];
          if (answer === undefined) throw new Error('an answer is missing');
          if (keeps(answer)) kept?.set(question, { answer });
          return answer;
        }),
      );
    }
  };

  return {
    async answers(questions, ask) {
      const known = questions.map((question) => kept?.get(question));
      const missing = questions.flatMap((question, position) =>
        known[position] === undefined && !underWay.has(question) ? [position] : [],
      );
      const hits = questions.length - missing.length;
      if (hits > 0) onHits(hits);
      if (missing.length > 0) askFor(missing, questions, ask);
      return Promise.all(
        questions.map((question, position) => {
          const answer = known[position];
          if (answer !== undefined) return Promise.resolve(answer.answer);
          return underWay.get(question) ?? Promise.reject(new Error('nobody asks'));
        }),
      );
    },
  };
}
