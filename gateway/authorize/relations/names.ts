// How objects, subjects and tuples are written: `model:gpt2`, `team:x#member`, `model:gpt2#viewer@team:x#member`. Whatever
// stands in an id is escaped to one canonical form, so that no id can pass for another object, a userset or a wildcard.

/** The name of a type or relation. */
export const namePattern = /^[A-Za-z][A-Za-z0-9_-]{0,49}$/;

/** One relationship, in canonical form. */
export interface RelationTuple {
  /** `type:id` */
  readonly object: string;
  readonly relation: string;
  /** `type:id`, `type:*` (everybody of the type) or, for a userset, `type:id` of its object. */
  readonly subject: string;
  /** The relation of a userset (`member` of `team:x#member`), or null. */
  readonly subjectRelation: string | null;
}

/** Longest object and subject, as OpenFGA takes them. */
const longest = { object: 256, subject: 512 };
// What has a meaning in a tuple, blanks, and what cannot be seen.
const special = /[\s\p{C}%:#*]/u;
const everySpecial = /[\s\p{C}%:#*]/gu;

/** An id as it stands behind the type: `%`, `:`, `#`, `*`, blanks and invisible characters escaped. @throws for broken Unicode */
export function escapedId(id: string): string {
  if (!special.test(id)) return id;
  return id.replace(everySpecial, (character) => (character === '*' ? '%2A' : encodeURIComponent(character)));
}

/** The type of `type:id`. */
export function typeOf(name: string): string {
  return name.slice(0, name.indexOf(':'));
}

/**
 * `type:id` from a text whose id is taken as it is, whatever it holds.
 * @throws Error when there is no type or no id, or the text is too long
 */
export function objectName(text: string): string {
  const colon = text.indexOf(':');
  const type = text.slice(0, Math.max(colon, 0));
  if (!namePattern.test(type) || colon === text.length - 1) throw new Error('an object is written type:id');
  const name = `${type}:${escapedId(text.slice(colon + 1))}`;
  if (name.length > longest.object) throw new Error('the object is too long');
  return name;
}

/** The name of somebody: a type, and an id that is taken as it is. @throws Error when it is empty or too long */
export function subjectName(type: string, id: string): string {
  if (id === '') throw new Error('the subject is empty');
  const name = `${type}:${escapedId(id)}`;
  if (name.length > longest.subject) throw new Error('the subject is too long');
  return name;
}

/**
 * Parses `object#relation@subject`; ids may hold percent-escapes, as in a URL.
 * @throws Error with what is wrong
 */
export function parseTuple(text: string): RelationTuple {
  const hash = text.indexOf('#');
  const at = text.indexOf('@', hash + 1);
  if (hash === -1 || at === -1)
    throw new Error('a tuple is written object#relation@subject, e.g. model:gpt2#viewer@user:alice');
  const relation = text.slice(hash + 1, at);
  if (!namePattern.test(relation)) throw new Error(`"${relation}" is no name of a relation`);
  const object = writtenName(text.slice(0, hash), longest.object);
  const rest = text.slice(at + 1);
  const userset = rest.indexOf('#');
  if (userset === -1) {
    const isEverybody = rest.endsWith(':*') && namePattern.test(rest.slice(0, -2));
    const subject = isEverybody ? rest : writtenName(rest, longest.subject);
    return { object, relation, subject, subjectRelation: null };
  }
  const subjectRelation = rest.slice(userset + 1);
  if (!namePattern.test(subjectRelation)) throw new Error(`"${subjectRelation}" is no name of a relation`);
  return { object, relation, subject: writtenName(rest.slice(0, userset), longest.subject), subjectRelation };
}

function writtenName(text: string, most: number): string {
  const colon = text.indexOf(':');
  const type = text.slice(0, Math.max(colon, 0));
  if (!namePattern.test(type) || colon === text.length - 1)
    throw new Error(`"${text}" is not written type:id`);
  const name = `${type}:${escapedId(unescaped(text.slice(colon + 1)))}`;
  if (name.length > most) throw new Error(`"${text.slice(0, 40)}…" is too long`);
  return name;
}

function unescaped(id: string): string {
  if (!id.includes('%')) return id;
  try {
    return decodeURIComponent(id);
  } catch {
    throw new Error(`"${id}" has a percent sign that escapes nothing (write %25 for the sign itself)`);
  }
}
