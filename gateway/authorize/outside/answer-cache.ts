// Answers of a service elsewhere: kept for a while, and asked once however many requests want the same at the same time.
import { LRUCache } from 'lru-cache';

/** Bounds of what is kept. */
export interface AnswerCacheOptions {
  readonly entries: number;
  /** 0: nothing is kept; who asks at the same time still shares one answer. */
  readonly ttlMs: number;
  /** So many answers were had without asking. */
  readonly onHits: (count: number) => void;
}

/** Keeps answers by question. */
export interface AnswerCache<Answer extends object | string | boolean> {
  /**
   * The answers to distinct questions, in their order; null is an answer that could not be had, and is not kept.
   * `ask` gets the positions of those that nobody is asking yet, and must not reject.
   */
  answers(
    questions: readonly string[],
    ask: (positions: readonly number[]) => Promise<readonly (Answer | null)[]>,
  ): Promise<readonly (Answer | null)[]>;
}

/** Creates an empty cache. */
export function createAnswerCache<Answer extends object | string | boolean>(
  options: AnswerCacheOptions,
): AnswerCache<Answer> {
  const kept =
    options.ttlMs === 0
      ? null
      : new LRUCache<string, Answer>({ max: options.entries, ttl: options.ttlMs, ttlAutopurge: false });
  const underWay = new Map<string, Promise<Answer | null>>();

  const askFor = (
    questions: readonly string[],
    positions: readonly number[],
    ask: (positions: readonly number[]) => Promise<readonly (Answer | null)[]>,
  ): void => {
    const asked = ask(positions);
    for (const [place, position] of positions.entries()) {
      const question = questions[position] ?? '';
      const answer = asked.then((answers) => {
        underWay.delete(question);
        const found = answers[place] ?? null;
        if (found !== null) kept?.set(question, found);
        return found;
      });
      underWay.set(question, answer);
    }
  };

  return {
    async answers(questions, ask) {
      const known = questions.map((question) => kept?.get(question));
      const missing = questions.flatMap((question, position) =>
        known[position] === undefined && !underWay.has(question) ? [position] : [],
      );
      const hits = questions.length - missing.length;
      if (hits > 0) options.onHits(hits);
      if (missing.length > 0) askFor(questions, missing, ask);
      return Promise.all(
        questions.map(
          async (question, position) => known[position] ?? (await underWay.get(question)) ?? null,
        ),
      );
    },
  };
}
