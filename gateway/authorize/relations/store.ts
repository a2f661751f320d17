// The one interface behind `related`: whoever holds relationships answers questions in batches.

/** Somebody, as relationship data calls him. */
export interface RelationSubject {
  /** `user:alice`, canonical (names.ts). */
  readonly name: string;
  /** Usersets that he belongs to by his token: `group:6a2f#member`. */
  readonly memberships: ReadonlySet<string>;
  /** Name and memberships in one string, to tell two subjects apart. */
  readonly fingerprint: string;
}

/** Whether a subject has a relation to an object. */
export interface RelationQuestion {
  readonly subject: RelationSubject;
  readonly relation: string;
  /** `model:gpt2`, canonical. */
  readonly object: string;
}

/** Null: it could not be said, which never works in favour of the caller. */
export type RelationAnswer = boolean | null;

/** Holds relationships, in this process or elsewhere. Never rejects. */
export interface RelationStore {
  /** Answers in the order of the questions; at once where nobody else has to be asked. */
  check(batch: readonly RelationQuestion[]): readonly RelationAnswer[] | Promise<readonly RelationAnswer[]>;
}

/** A subject without memberships, or with them in any order. */
export function relationSubject(name: string, memberships: Iterable<string> = []): RelationSubject {
  const sorted = [...new Set(memberships)].toSorted();
  return { name, memberships: new Set(sorted), fingerprint: [name, ...sorted].join(' ') };
}

/** Tells two questions apart; names hold no blanks. */
export function questionKey({ subject, relation, object }: RelationQuestion): string {
  return `${object}#${relation}@${subject.fingerprint}`;
}
