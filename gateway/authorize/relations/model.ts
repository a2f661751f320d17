// The relation model: which relations the objects of a type have, and from what each follows.
import type { RelationsPolicy } from './relations-policy.ts';

/** From what a relation follows; any of it suffices. */
export interface Sources {
  /** What may be written in a tuple: `user`, `user:*`, `team#member`. */
  readonly direct: ReadonlySet<string>;
  /** Relations of the same object that include this one. */
  readonly computed: readonly string[];
  /** `viewer from parent`: the relation of objects that are related by `through`. */
  readonly inherited: readonly { readonly relation: string; readonly through: string }[];
}

/** Type → relation → sources. */
export type RelationModel = ReadonlyMap<string, ReadonlyMap<string, Sources>>;

type Types = RelationsPolicy['types'];

/** Compiles the types. Does not check names: gateway/policies/relation-faults.ts does. */
export function compileModel(types: Types): RelationModel {
  return new Map(
    Object.entries(types).map(([type, relations]) => [
      type,
      new Map(
        Object.entries(relations).map(([relation, sources]) => [
          relation,
          sourcesOf(sources, { relation, relations, types }),
        ]),
      ),
    ]),
  );
}

interface Place {
  readonly relation: string;
  readonly relations: Types[string];
  readonly types: Types;
}

function sourcesOf(sources: readonly string[], place: Place): Sources {
  const inherited = sources.flatMap((source) => {
    const [relation = '', through] = source.split(' from ');
    return through === undefined ? [] : [{ relation, through }];
  });
  const plain = sources.filter((source) => !source.includes(' '));
  return {
    direct: new Set(plain.filter((source) => !isRelation(source, place))),
    computed: plain.filter((source) => isRelation(source, place)),
    inherited,
  };
}

/** A word alone is another relation of the same type; else it is a type (`organization: [organization]`). */
export function isRelation(source: string, { relation, relations }: Omit<Place, 'types'>): boolean {
  return source !== relation && Object.hasOwn(relations, source);
}
