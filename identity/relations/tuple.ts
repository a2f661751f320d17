// One relation as text, `model:gpt2#viewer@team:x#member`: whoever is the subject has the relation to the object. A
// subject is one thing, everything of a type (`user:*`), or a userset: whoever has a relation to another thing.

/** A relation in its parts; `subject` is kept as text. */
export interface RelationTuple {
  readonly object: string;
  readonly relation: string;
  readonly subject: string;
}

// Ids hold no blank, quote, backslash or `#`, so a tuple can be read in one way only.
const name = '[a-z][a-z0-9_-]{0,63}';
const id = '[!$-\\[\\]-~]{1,256}';
const shape = new RegExp(`^(${name}:${id})#(${name})@(${name}:${id}(?:#${name})?)$`);

/** The parts of a tuple, or null for what is none. */
export function parseTuple(text: string): RelationTuple | null {
  const [, object, relation, subject] = shape.exec(text) ?? [];
  if (object === undefined || relation === undefined || subject === undefined) return null;
  const isEverything = (part: string): boolean => /^[^:]+:\*/.test(part);
  // `*` stands for all subjects of a type, never for all objects, and has no relation of its own.
  if (isEverything(object) || (isEverything(subject) && !subject.endsWith(':*'))) return null;
  return { object, relation, subject };
}

/** The text of a tuple. */
export function formatTuple({ object, relation, subject }: RelationTuple): string {
  return `${object}#${relation}@${subject}`;
}
