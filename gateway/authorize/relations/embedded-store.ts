// Relationships in this process: the tuples of relations.yaml, and those that identity sends.
import { checkRelation } from './check-relation.ts';
import type { RelationModel } from './model.ts';
import type { RelationAnswer, RelationQuestion, RelationStore } from './store.ts';
import { indexTuples, type TupleIndex } from './tuple-index.ts';

/** Tuples that come from elsewhere while the gateway runs. */
export interface LearnedTuples {
  /** Rules ask for relations: from now on they are followed. Idempotent. */
  wanted(): void;
  /** The newest, one and the same array until they change; null when they are not known (any more). */
  current(): readonly string[] | null;
}

/** What the store answers from. */
export interface EmbeddedStoreOptions {
  readonly model: RelationModel;
  readonly tuples: readonly string[];
  /** Null: relations.yaml says all there is. */
  readonly learned: LearnedTuples | null;
}

/** A store that answers at once. */
export interface EmbeddedStore extends RelationStore {
  check(batch: readonly RelationQuestion[]): readonly RelationAnswer[];
}

/** Creates the store. */
export function createEmbeddedStore({ model, tuples, learned }: EmbeddedStoreOptions): EmbeddedStore {
  const written = indexTuples(tuples, model).index;
  let last: { readonly tuples: readonly string[]; readonly index: TupleIndex } | null = null;

  /** Null when tuples are missing: then nothing can be said, not even no. */
  const indexes = (): readonly TupleIndex[] | null => {
    if (learned === null) return [written];
    const now = learned.current();
    if (now === null) return null;
    if (last?.tuples !== now) last = { tuples: now, index: indexTuples(now, model).index };
    return [written, last.index];
  };

  return {
    check(batch) {
      const found = indexes();
      return batch.map((question) => {
        if (found === null) return null;
        try {
          return checkRelation(question, { model, indexes: found });
        } catch {
          return null; // Too many or too deep: no answer, which never works in favour of the caller.
        }
      });
    },
  };
}
