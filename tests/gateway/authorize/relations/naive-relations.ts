// A second, naive reading of relationship data, for comparison: every place that a subject stands at, by applying every
// statement of model and tuples until nothing is added.

type Types = Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;

/** All `object#relation` that a subject has; only ids that tuples or memberships name are looked at. */
export function naiveRelations(
  types: Types,
  tuples: readonly string[],
  { subject, memberships }: { readonly subject: string; readonly memberships: readonly string[] },
): ReadonlySet<string> {
  const [kind = ''] = subject.split(':');
  const lines = tuples.map((tuple) => {
    const [place = '', who = ''] = tuple.split('@');
    const [object = '', relation = ''] = place.split('#');
    return { place, object, relation, who };
  });
  const objects = new Set([
    ...lines.flatMap(({ object, who }) => [object, who.split('#')[0] ?? '']),
    ...memberships.map((each) => each.split('#')[0] ?? ''),
  ]);
  const holds = new Set(memberships);
  for (let size = -1; size !== holds.size;) {
    size = holds.size;
    for (const { place, who } of lines)
      if (who === subject || who === `${kind}:*` || holds.has(who)) holds.add(place);
    for (const object of objects)
      for (const [relation, sources] of Object.entries(types[object.split(':')[0] ?? ''] ?? {}))
        if (sources.some((source) => follows(source, { object, relation, lines, holds })))
          holds.add(`${object}#${relation}`);
  }
  return holds;
}

interface Place {
  readonly object: string;
  readonly relation: string;
  readonly lines: readonly { readonly object: string; readonly relation: string; readonly who: string }[];
  readonly holds: ReadonlySet<string>;
}

/** Whether a source other than a tuple gives a relation now. */
function follows(source: string, { object, relation, lines, holds }: Place): boolean {
  const [wanted, through] = source.split(' from ');
  // `user` names no relation, so nothing holds there.
  if (through === undefined) return source !== relation && holds.has(`${object}#${source}`);
  return lines.some(
    (line) => line.object === object && line.relation === through && holds.has(`${line.who}#${wanted}`),
  );
}
