// One relation as text, `model:gpt2#viewer@team:x#member`: whoever is the subject has the relation to the object. A
// subject is one thing, everybody of a type (`user:*`), or a userset: whoever has a relation to another thing. Stored in
// the one canonical form that gateways know too, so that no id can pass for a userset or for everybody.

/** A relation in its parts; `subject` is kept as text. */
export interface RelationTuple {
  readonly object: string;
  readonly relation: string;
  readonly subject: string;
}

/** A text that is no relation, with a sentence that says why. */
export class RelationTupleError extends Error {}

const name = /^[A-Za-z][A-Za-z0-9_-]{0,49}$/;
const longest = { object: 256, subject: 512 } as const;
// What has a meaning in a tuple, blanks, and what cannot be seen.
const special = /[\s\p{C}%:#*]/gu;

/** Parses `object#relation@subject`; ids may hold percent-escapes, as in a URL. @throws RelationTupleError */
export function parseTuple(text: string): RelationTuple {
  const hash = text.indexOf('#');
  const at = text.indexOf('@', hash + 1);
  if (hash === -1 || at === -1)
    throw faulty(text, 'it is written object#relation@subject, e.g. model:gpt2#viewer@user:alice');
  const relation = text.slice(hash + 1, at);
  if (!name.test(relation)) throw faulty(text, 'the relation is no name');
  const object = thing(text, text.slice(0, hash), longest.object);
  const [subject = '', subjectRelation, ...more] = text.slice(at + 1).split('#');
  if (more.length > 0 || (subjectRelation !== undefined && !name.test(subjectRelation)))
    throw faulty(text, 'the relation of the subject is no name');
  if (subjectRelation !== undefined)
    return { object, relation, subject: `${thing(text, subject, longest.subject)}#${subjectRelation}` };
  const isEverybody = subject.endsWith(':*') && name.test(subject.slice(0, -2));
  return { object, relation, subject: isEverybody ? subject : thing(text, subject, longest.subject) };
}

/** The text of a tuple. */
export function formatTuple({ object, relation, subject }: RelationTuple): string {
  return `${object}#${relation}@${subject}`;
}

function thing(text: string, part: string, most: number): string {
  const colon = part.indexOf(':');
  const type = part.slice(0, Math.max(colon, 0));
  if (!name.test(type) || colon === part.length - 1)
    throw faulty(text, 'object and subject are written type:id');
  const canonical = `${type}:${canonicalId(text, part.slice(colon + 1))}`;
  if (canonical.length > most) throw faulty(text, 'an id is too long');
  return canonical;
}

function canonicalId(text: string, id: string): string {
  try {
    return decodeURIComponent(id).replace(special, (character) =>
      character === '*' ? '%2A' : encodeURIComponent(character),
    );
  } catch {
    throw faulty(text, 'a percent sign escapes nothing, or the id is no whole text (write %25 for the sign)');
  }
}

function faulty(text: string, problem: string): RelationTupleError {
  const shown = text.length > 80 ? `${text.slice(0, 80)}…` : text;
  return new RelationTupleError(`"${shown.replaceAll(/[\p{C}]/gu, '?')}" is no relation: ${problem}`);
}
