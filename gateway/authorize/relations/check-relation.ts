// Answers a question from tuples in memory: a walk from the object towards the subject, over what the model says each
// relation follows from. Cycles end it, because no place is visited twice.
import type { RelationModel } from './model.ts';
import { typeOf } from './names.ts';
import type { RelationQuestion } from './store.ts';
import type { TupleIndex } from './tuple-index.ts';

/** How far a walk may go: beyond, there is no answer. */
export const walkBounds = { places: 10_000, depth: 32 };

/** Where relationships are looked up; a tuple in any of the indexes counts. */
export interface Relationships {
  readonly model: RelationModel;
  readonly indexes: readonly TupleIndex[];
}

/**
 * Whether the subject has the relation to the object.
 * Checks: tuples, everybody (`user:*`), usersets, relations that include others, relations of related objects, and what the
 * subject's token makes him a member of.
 * @throws Error when the walk is too long to be finished
 */
export function checkRelation(question: RelationQuestion, relationships: Relationships): boolean {
  const { subject } = question;
  const everybody = `${typeOf(subject.name)}:*`;
  const start = `${question.object}#${question.relation}`;
  const visited = new Set([start]);
  let level = [start];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > walkBounds.depth) throw new Error('the relationships are too deep');
    const next: string[] = [];
    const visit = (place: string): void => {
      if (visited.has(place)) return;
      visited.add(place);
      next.push(place);
      if (visited.size > walkBounds.places) throw new Error('the relationships are too many');
    };
    for (const place of level) {
      if (subject.memberships.has(place)) return true;
      for (const index of relationships.indexes) {
        const written = index.get(place);
        if (written === undefined) continue;
        if (written.subjects.has(subject.name) || written.subjects.has(everybody)) return true;
        for (const userset of written.usersets) visit(userset);
      }
      leadOn(place, relationships, visit);
    }
    level = next;
  }
  return false;
}

/** Visits the places that a relation follows from by the model. */
function leadOn(place: string, { model, indexes }: Relationships, visit: (place: string) => void): void {
  const hash = place.indexOf('#');
  const object = place.slice(0, hash);
  const sources = model.get(typeOf(object))?.get(place.slice(hash + 1));
  if (sources === undefined) return;
  for (const relation of sources.computed) visit(`${object}#${relation}`);
  for (const { relation, through } of sources.inherited)
    for (const index of indexes)
      for (const related of index.get(`${object}#${through}`)?.subjects ?? [])
        if (model.get(typeOf(related))?.has(relation) === true) visit(`${related}#${relation}`);
}
