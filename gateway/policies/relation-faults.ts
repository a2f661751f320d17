// What relations.yaml may not say: names that no type has, tuples that the model does not allow, people of several issuers
// who would be called alike unnoticed.
import { nearest, type Finding } from '../../core/yaml-file.ts';
import { compileModel, isRelation, type RelationModel } from '../authorize/relations/model.ts';
import { parseTuple } from '../authorize/relations/names.ts';
import { memberRelation, type PrincipalNames } from '../authorize/relations/principal-subject.ts';
import { objectionTo } from '../authorize/relations/tuple-index.ts';
import type { PolicyFiles } from './bundle.ts';
import { issuerNames } from './certificate-faults.ts';
import type { PolicyContext } from './context.ts';
import { unknownName } from './unknown-name.ts';

type Relations = PolicyFiles['relations'];

/** Faults of relations.yaml by itself and towards issuers.yaml. */
export function checkRelations(
  relations: Relations | undefined,
  issuers: PolicyFiles['issuers'] | undefined,
): Finding[] {
  if (relations === undefined) return [];
  const { types, tuples } = relations.value;
  const model = compileModel(types);
  const faults = Object.entries(types).flatMap(([type, entries]) =>
    Object.entries(entries).flatMap(([relation, sources]) =>
      sources.flatMap((source, at) =>
        sourceFaults(source, { relations, model, path: ['types', type, relation, at] }),
      ),
    ),
  );
  const names = principalFaults(relations, model, issuers);
  // Tuples are judged by a good model only, so that one misspelt type is one finding.
  if (faults.length > 0) return [...faults, ...names];
  return [
    ...names,
    ...tuples.flatMap((text, at) => {
      const objection = objectionTo(parseTuple(text), model);
      if (objection === null) return [];
      const suggestion =
        objection.unknown === null ? undefined : nearest(objection.unknown.word, objection.unknown.known);
      return [
        relations.finding(['tuples', at], objection.message, {
          code: objection.unknown === null ? 'wrong_value' : 'unknown_reference',
          ...(suggestion === undefined ? {} : { suggestion }),
        }),
      ];
    }),
  ];
}

interface Place {
  readonly relations: Relations;
  readonly model: RelationModel;
  /** `types`, type, relation, index. */
  readonly path: readonly [string, string, string, number];
}

/** What is wrong with one source of a relation. */
function sourceFaults(source: string, { relations, model, path }: Place): Finding[] {
  const [, type, relation] = path;
  const own = relations.value.types[type] ?? {};
  const unknown = (name: string, what: string, known: Iterable<string>): Finding[] => [
    unknownName(relations, path, { name, what, known: [...known] }),
  ];
  const [wanted = '', through] = source.split(' from ');
  if (through !== undefined) return inheritedFaults({ wanted, through }, { relations, model, path });
  const [named = '', userset] = source.replace(/:\*$/, '').split('#');
  if (source === named && isRelation(named, { relation, relations: own })) {
    if (!model.has(named)) return [];
    const message = `"${named}" is a type and another relation of ${type}: name one of them otherwise`;
    return [relations.finding(path, message)];
  }
  const target = model.get(named);
  if (target === undefined)
    return unknown(named, source === named ? 'type or other relation' : 'type', [
      ...model.keys(),
      ...(source === named ? Object.keys(own) : []),
    ]);
  if (userset !== undefined && !target.has(userset))
    return unknown(userset, `relation of ${named} named`, target.keys());
  return [];
}

function inheritedFaults(
  { wanted, through }: { readonly wanted: string; readonly through: string },
  { relations, model, path }: Place,
): Finding[] {
  const [, type] = path;
  const own = model.get(type);
  const parents = own?.get(through);
  if (parents === undefined)
    return [
      unknownName(relations, path, {
        name: through,
        what: `relation of ${type} named`,
        known: [...(own?.keys() ?? [])],
      }),
    ];
  const isWritten = parents.computed.length === 0 && parents.inherited.length === 0;
  const kinds = [...parents.direct];
  if (!isWritten || kinds.some((kind) => /[#:]/.test(kind)))
    return [
      relations.finding(
        path,
        `${through} must name objects: types alone, without usersets or other relations`,
      ),
    ];
  if (kinds.some((kind) => model.get(kind)?.has(wanted) === true)) return [];
  const known = kinds.flatMap((kind) => [...(model.get(kind)?.keys() ?? [])]);
  return [
    unknownName(relations, path, { name: wanted, what: `relation of ${kinds.join(', ')} named`, known }),
  ];
}

/** Issuers and types under `principals`; with several issuers it must be there. */
function principalFaults(
  relations: Relations,
  model: RelationModel,
  issuers: PolicyFiles['issuers'] | undefined,
): Finding[] {
  const { principals } = relations.value;
  const trusted = issuers === undefined ? null : issuerNames(issuers.value);
  if (principals === undefined) {
    // OpenID Connect Core §5.7: only issuer and subject together identify a person.
    if (model.size === 0 || trusted === null || trusted.length < 2) return [];
    const message = 'with more than one trusted issuer, principals says what the people of each are called';
    return [relations.finding(['types'], message, { code: 'missing_key' })];
  }
  return Object.entries(principals).flatMap(([issuer, called]) => [
    ...(trusted === null || trusted.includes(issuer)
      ? []
      : [unknownName(relations, ['principals', issuer], { name: issuer, what: 'issuer', known: trusted })]),
    ...(['subject', 'groups', 'roles'] as const).flatMap((key) =>
      nameFaults(called, key, { relations, model, issuer }),
    ),
  ]);
}

function nameFaults(
  called: PrincipalNames,
  key: keyof PrincipalNames,
  { relations, model, issuer }: { relations: Relations; model: RelationModel; issuer: string },
): Finding[] {
  const type = called[key];
  if (type === undefined) return [];
  const path = ['principals', issuer, key];
  const target = model.get(type);
  if (target === undefined)
    return [unknownName(relations, path, { name: type, what: 'type', known: [...model.keys()] })];
  if (key === 'subject' || target.get(memberRelation)?.direct.has(called.subject) === true) return [];
  const message = `${type} needs a relation ${memberRelation} that takes ${called.subject}`;
  return [relations.finding(path, message)];
}

/** Odd but harmless, where it is meant: tuples that nobody asks, and two issuers whose people share names. */
export function relationWarnings(
  relations: Relations | undefined,
  { relationsElsewhere }: PolicyContext,
): Finding[] {
  const unused =
    relationsElsewhere === true && relations !== undefined && relations.value.tuples.length > 0
      ? [
          relations.finding(
            ['tuples'],
            'gateway.relations asks OpenFGA: these tuples answer the offline tools alone',
            {
              code: 'no_effect',
            },
          ),
        ]
      : [];
  const entries = Object.entries(relations?.value.principals ?? {});
  const shared = entries.flatMap(([issuer, { subject }], index) => {
    const other = entries.slice(0, index).find(([, called]) => called.subject === subject);
    if (other === undefined || relations === undefined) return [];
    const message = `the people of ${issuer} and ${other[0]} are called alike: one subject at both is one ${subject}`;
    return [relations.finding(['principals', issuer, 'subject'], message, { code: 'too_permissive' })];
  });
  return [...unused, ...shared];
}
