// Tuples by object and relation, so that a check looks up and never searches.
import { parseTuple, typeOf, type RelationTuple } from './names.ts';
import type { RelationModel } from './model.ts';

/** Who is written at one relation of one object. */
export interface WrittenSubjects {
  /** `user:alice`, `folder:labs`, `user:*`. */
  readonly subjects: ReadonlySet<string>;
  /** `team:x#member`. */
  readonly usersets: readonly string[];
}

/** `object#relation` → who is written there. */
export type TupleIndex = ReadonlyMap<string, WrittenSubjects>;

/** An index, and how many tuples the model does not know and were left out. */
export interface IndexedTuples {
  readonly index: TupleIndex;
  readonly leftOut: number;
}

/** Indexes tuples; one that the model does not allow counts for nothing. */
export function indexTuples(tuples: Iterable<string>, model: RelationModel): IndexedTuples {
  const index = new Map<string, { subjects: Set<string>; usersets: string[] }>();
  const seen = new Set<string>();
  let leftOut = 0;
  for (const text of tuples) {
    const tuple = parsed(text);
    if (tuple === null || objectionTo(tuple, model) !== null) {
      leftOut++;
      continue;
    }
    const place = `${tuple.object}#${tuple.relation}`;
    const written = index.get(place) ?? { subjects: new Set<string>(), usersets: [] };
    index.set(place, written);
    if (tuple.subjectRelation === null) written.subjects.add(tuple.subject);
    else {
      const userset = `${tuple.subject}#${tuple.subjectRelation}`;
      const line = `${place}@${userset}`;
      if (!seen.has(line)) written.usersets.push(userset);
      seen.add(line);
    }
  }
  return { index, leftOut };
}

function parsed(text: string): RelationTuple | null {
  try {
    return parseTuple(text);
  } catch {
    return null;
  }
}

/** What the model has against a tuple, or null. */
export interface TupleObjection {
  readonly message: string;
  /** The misspelt word and what is known, when a name is unknown. */
  readonly unknown: { readonly word: string; readonly known: readonly string[] } | null;
}

/** Why the model does not allow a tuple, or null when it does. */
export function objectionTo(tuple: RelationTuple, model: RelationModel): TupleObjection | null {
  const type = typeOf(tuple.object);
  const relations = model.get(type);
  if (relations === undefined)
    return {
      message: `there is no type "${type}"`,
      unknown: { word: type, known: [...model.keys()] },
    };
  const sources = relations.get(tuple.relation);
  if (sources === undefined)
    return {
      message: `${type} has no relation "${tuple.relation}"`,
      unknown: { word: tuple.relation, known: [...relations.keys()] },
    };
  const kind = kindOf(tuple);
  if (sources.direct.has(kind)) return null;
  const takes =
    sources.direct.size === 0 ? 'nothing can be' : `only ${[...sources.direct].join(', ')} can be`;
  return {
    message: `${kind} cannot be written as ${tuple.relation} of a ${type}; ${takes}`,
    unknown: null,
  };
}

function kindOf({ subject, subjectRelation }: RelationTuple): string {
  const type = typeOf(subject);
  if (subjectRelation !== null) return `${type}#${subjectRelation}`;
  return subject.endsWith(':*') ? `${type}:*` : type;
}
