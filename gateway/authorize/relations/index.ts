// What `related` in rules asks: the compiled relations.yaml with the store behind it.
import type { Principal } from '../../principal.ts';
import type { RuleFacts } from '../conditions/condition.ts';
import { createEmbeddedStore, type LearnedTuples } from './embedded-store.ts';
import { compileModel } from './model.ts';
import { objectName } from './names.ts';
import { principalNames, subjectOf } from './principal-subject.ts';
import type { RelationsPolicy } from './relations-policy.ts';
import { relationSubject, type RelationQuestion, type RelationStore, type RelationSubject } from './store.ts';

export type { LearnedTuples } from './embedded-store.ts';
export { compileModel, type RelationModel } from './model.ts';
export { emptyRelations, relationsSchema, type RelationsPolicy } from './relations-policy.ts';
export type { RelationAnswer, RelationQuestion, RelationStore } from './store.ts';

/** Who holds the relationships: this process, with what it learns, or a store elsewhere. */
export type RelationEngine =
  | { readonly kind: 'embedded'; readonly learned: LearnedTuples | null }
  | { readonly kind: 'remote'; readonly store: RelationStore };

/** A store elsewhere, and how questions to it are made. */
export interface RemoteRelations {
  readonly store: RelationStore;
  /** The question that `related` puts. @throws Error when there is none: no such subject, an object that is too long */
  question(facts: RuleFacts, asked: AskedRelation): RelationQuestion;
}

/** Answers `related` while rules are matched. */
export interface RelationLookup {
  /** The store elsewhere that must be asked beforehand (gather.ts), or null. */
  readonly remote: RemoteRelations | null;
  /** The answer. @throws Error when it cannot be said, or is not known yet */
  related(facts: RuleFacts, asked: AskedRelation): boolean;
}

/** The compiled relations.yaml. */
export interface Relations extends RelationLookup {
  /** The same with further tuples, answered in this process: for policy tests. */
  with(tuples: readonly string[]): Relations;
}

/** The operands of `related`. */
export interface AskedRelation {
  readonly relation: string;
  readonly object: string;
  /** Null: the principal. */
  readonly subject: string | null;
}

/** What relations are compiled with. */
export interface RelationsOptions {
  /** Names in issuers.yaml. */
  readonly issuers: readonly string[];
  readonly engine?: RelationEngine;
}

/** Only what relations.yaml says. */
const onlyWritten: RelationEngine = { kind: 'embedded', learned: null };

/** Compiles relations.yaml. Does not check it: gateway/policies/relation-faults.ts has. */
export function compileRelations(
  policy: RelationsPolicy,
  { issuers, engine = onlyWritten }: RelationsOptions,
): Relations {
  const model = compileModel(policy.types);
  const names = principalNames(policy, model, issuers);
  const subjects = new WeakMap<Principal, RelationSubject>();
  const embedded =
    engine.kind === 'remote'
      ? null
      : createEmbeddedStore({ model, tuples: policy.tuples, learned: engine.learned });

  const ownSubject = (facts: RuleFacts): RelationSubject => {
    const known = subjects.get(facts.principal);
    if (known !== undefined) return known;
    const found = subjectOf(facts, names);
    subjects.set(facts.principal, found);
    return found;
  };
  // Objects are mostly the same few; callers must not fill what is kept.
  const objects = new Map<string, string>();
  const canonical = (object: string): string => {
    const known = objects.get(object);
    if (known !== undefined) return known;
    const name = objectName(object);
    if (objects.size < 4_096) objects.set(object, name);
    return name;
  };
  const question = (facts: RuleFacts, { relation, object, subject }: AskedRelation): RelationQuestion => ({
    subject: subject === null ? ownSubject(facts) : relationSubject(objectName(subject)),
    relation,
    object: canonical(object),
  });
  return {
    related(facts, asked) {
      const [answer = null] = embedded?.check([question(facts, asked)]) ?? [];
      // A store elsewhere is asked beforehand (gather.ts); here there is no waiting.
      if (answer === null) throw new Error('the relation is not known');
      return answer;
    },
    remote: engine.kind === 'remote' ? { store: engine.store, question } : null,
    with: (tuples) => compileRelations({ ...policy, tuples: [...policy.tuples, ...tuples] }, { issuers }),
  };
}

/** Knows no relation: `related` fails whatever it asks. */
export const noRelations: RelationLookup = {
  remote: null,
  related() {
    throw new Error('there are no relations');
  },
};
