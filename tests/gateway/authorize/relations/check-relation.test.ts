import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkRelation } from '../../../../gateway/authorize/relations/check-relation.ts';
import { compileModel } from '../../../../gateway/authorize/relations/model.ts';
import { objectName, parseTuple, subjectName } from '../../../../gateway/authorize/relations/names.ts';
import { relationSubject } from '../../../../gateway/authorize/relations/store.ts';
import { indexTuples } from '../../../../gateway/authorize/relations/tuple-index.ts';
import { naiveRelations } from './naive-relations.ts';

const types = {
  user: {},
  group: { member: ['user'] },
  team: { member: ['user', 'team#member', 'group#member'], organization: ['organization'] },
  organization: { admin: ['user'], organization: ['organization'] },
  folder: { parent: ['folder'], viewer: ['user', 'team#member', 'viewer from parent'] },
  model: {
    parent: ['folder'],
    owner: ['user', 'team#member'],
    editor: ['owner'],
    viewer: ['user', 'user:*', 'editor', 'viewer from parent'],
  },
};

/** Whether somebody has a relation, from tuples as they are written. */
function related(tuples: readonly string[], question: string, memberships: readonly string[] = []): boolean {
  const model = compileModel(types);
  const { object, relation, subject } = parseTuple(question);
  return checkRelation(
    { subject: relationSubject(subject, memberships), relation, object },
    { model, indexes: [indexTuples(tuples, model).index] },
  );
}

describe('a relation holds', () => {
  const cases: [string, string[], string][] = [
    ['when it is written', ['model:a#viewer@user:x'], 'model:a#viewer@user:x'],
    ['for everybody of a type', ['model:a#viewer@user:*'], 'model:a#viewer@user:x'],
    [
      'for the members of a team',
      ['model:a#owner@team:t#member', 'team:t#member@user:x'],
      'model:a#owner@user:x',
    ],
    ['through relations that include others', ['model:a#owner@user:x'], 'model:a#viewer@user:x'],
    [
      'for what lies in a folder',
      ['folder:f#viewer@user:x', 'model:a#parent@folder:f'],
      'model:a#viewer@user:x',
    ],
    [
      'through folders within folders and teams within teams',
      [
        'model:a#parent@folder:f',
        'folder:f#parent@folder:g',
        'folder:g#viewer@team:t#member',
        'team:t#member@team:u#member',
        'team:u#member@user:x',
      ],
      'model:a#viewer@user:x',
    ],
    ['for ids that need escapes', ['model:llama3:8b#viewer@user:a%20b'], 'model:llama3:8b#viewer@user:a%20b'],
  ];
  for (const [title, tuples, question] of cases)
    it(title, () => assert.equal(related(tuples, question), true));

  it('for whoever is a member by his token', () => {
    const tuples = ['folder:f#viewer@team:t#member', 'team:t#member@group:g#member'];
    assert.equal(related(tuples, 'folder:f#viewer@user:x', ['group:g#member']), true);
    assert.equal(related(tuples, 'folder:f#viewer@user:x', ['group:h#member']), false);
  });
});

describe('a relation does not hold', () => {
  const cases: [string, string[], string][] = [
    ['without tuples', [], 'model:a#viewer@user:x'],
    ['for somebody else', ['model:a#viewer@user:y'], 'model:a#viewer@user:x'],
    ['on another object', ['model:b#viewer@user:x'], 'model:a#viewer@user:x'],
    ['upwards', ['model:a#viewer@user:x'], 'model:a#owner@user:x'],
    [
      'for the folder when the model is meant',
      ['model:a#parent@folder:f', 'model:a#viewer@user:x'],
      'folder:f#viewer@user:x',
    ],
    [
      'in a circle of teams',
      ['team:t#member@team:u#member', 'team:u#member@team:t#member'],
      'team:t#member@user:x',
    ],
    ['in a folder that is its own parent', ['folder:f#parent@folder:f'], 'folder:f#viewer@user:x'],
    [
      'by a tuple that the model does not allow',
      ['model:a#owner@user:*', 'model:a#editor@user:x', 'team:t#member@folder:f'],
      'model:a#editor@user:x',
    ],
    ['for a relation that the type does not have', ['model:a#viewer@user:x'], 'model:a#banned@user:x'],
    ['for a type that is not there', ['model:a#viewer@user:x'], 'file:a#viewer@user:x'],
  ];
  for (const [title, tuples, question] of cases)
    it(title, () => assert.equal(related(tuples, question), false));

  it('for a subject that is called like everybody', () => {
    assert.equal(subjectName('user', '*'), 'user:%2A');
    const model = compileModel(types);
    const { index } = indexTuples(['model:a#viewer@user:x'], model);
    const everybody = relationSubject(subjectName('user', '*'));
    assert.equal(
      checkRelation(
        { subject: everybody, relation: 'viewer', object: 'model:a' },
        { model, indexes: [index] },
      ),
      false,
    );
  });
});

describe('a walk has bounds', () => {
  it('and a wide team is no walk at all', () => {
    const tuples = Array.from({ length: 200_000 }, (_, index) => `team:t#member@user:u${index}`);
    assert.equal(related([...tuples, 'model:a#owner@team:t#member'], 'model:a#viewer@user:u199999'), true);
  });

  it('and gives no answer beyond so many places', () => {
    const tuples = Array.from({ length: 20_000 }, (_, index) => `team:t#member@team:t${index}#member`);
    assert.throws(() => related(tuples, 'team:t#member@user:x'), /too many/);
  });

  it('and gives no answer beyond so many steps', () => {
    const tuples = Array.from({ length: 60 }, (_, index) => `folder:f${index}#parent@folder:f${index + 1}`);
    assert.throws(
      () => related([...tuples, 'folder:f60#viewer@user:x'], 'folder:f0#viewer@user:x'),
      /too deep/,
    );
  });
});

describe('names', () => {
  it('escape what has a meaning in a tuple, and nothing else', () => {
    assert.equal(subjectName('user', 'a#member'), 'user:a%23member');
    assert.equal(subjectName('user', 'a b\u0000:c%'), 'user:a%20b%00%3Ac%25');
    assert.equal(subjectName('user', 'müller@example.org|1'), 'user:müller@example.org|1');
    assert.equal(objectName('model:llama3:8b'), 'model:llama3%3A8b');
  });

  it('are the same in a tuple, escaped or not', () => {
    assert.equal(parseTuple('model:llama3:8b#viewer@user:x').object, 'model:llama3%3A8b');
    assert.equal(parseTuple('model:llama3%3A8b#viewer@user:x').object, 'model:llama3%3A8b');
    assert.equal(parseTuple('model:a#viewer@user:a%23b').subject, 'user:a%23b');
  });

  for (const text of ['', 'model', 'model:', ':a', 'mo del:a', `model:${'x'.repeat(300)}`])
    it(`refuse the object ${JSON.stringify(text.slice(0, 20))}`, () => assert.throws(() => objectName(text)));
  for (const text of [
    '',
    'model:a',
    'model:a#viewer',
    'model:a#viewer@',
    'model:a#viewer@user:',
    'model:a#viewer@user',
    'model:a#@user:x',
    'model:a#vie wer@user:x',
    'model:a#viewer@team:t#',
    'model:a#viewer@user:%zz',
    '#viewer@user:x',
  ])
    it(`refuse the tuple ${JSON.stringify(text)}`, () => assert.throws(() => parseTuple(text)));
  it('refuse an empty subject and broken Unicode', () => {
    assert.throws(() => subjectName('user', ''));
    assert.throws(() => subjectName('user', '\ud800'));
  });
});

describe('checks over random relationships', () => {
  it('answer as the naive reference does, which computes everything that holds', () => {
    let seed = 7;
    const random = (below: number): number => {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
      return Math.floor((seed / 2_147_483_648) * below);
    };
    const pick = (kind: string): string => `${kind}:${random(4)}`;
    const model = compileModel(types);
    const writable = Object.entries(types).flatMap(([type, relations]) =>
      Object.keys(relations).flatMap((relation) =>
        [...(model.get(type)?.get(relation)?.direct ?? [])].map((direct) => ({ type, relation, direct })),
      ),
    );
    const places = Object.entries(types).flatMap(([type, relations]) =>
      Object.keys(relations).flatMap((relation) =>
        [0, 1, 2, 3].map((id) => ({ object: `${type}:${id}`, relation })),
      ),
    );
    let held = 0;
    for (let round = 0; round < 300; round++) {
      const tuples = Array.from({ length: 4 + random(20) }, () => {
        const { type, relation, direct } = writable[random(writable.length)] ?? writable[0]!;
        const [kind = '', userset] = direct.split('#');
        const subject = kind.endsWith(':*')
          ? kind
          : `${pick(kind)}${userset === undefined ? '' : `#${userset}`}`;
        return `${pick(type)}#${relation}@${subject}`;
      });
      const memberships = random(2) === 0 ? [] : [`${pick('group')}#member`];
      const reference = naiveRelations(types, tuples, { subject: 'user:1', memberships });
      const { index } = indexTuples(tuples, model);
      const subject = relationSubject('user:1', memberships);
      for (const { object, relation } of places) {
        const expected = reference.has(`${object}#${relation}`);
        if (expected) held++;
        const found = checkRelation({ subject, relation, object }, { model, indexes: [index] });
        assert.equal(found, expected, `${object}#${relation} of ${tuples.join(' ')}`);
      }
    }
    assert.ok(held > 1_000, `too few relations held: ${held}`);
  });
});
