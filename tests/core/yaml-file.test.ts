import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { z } from 'zod';
import {
  ConfigurationError,
  formatFinding,
  nearest,
  parseYaml,
  readYamlFile,
  type Finding,
} from '../../core/yaml-file.ts';

const kinds = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('words'), words: z.array(z.string()).min(1) }),
  z.strictObject({
    kind: z.literal('ceilings'),
    max_tokens: z.int().optional(),
    wordy: z.boolean().optional(),
  }),
]);
const schema = z.strictObject({
  name: z.string(),
  algorithms: z.array(z.enum(['RS256', 'ES256'])).default(['RS256']),
  guards: z.record(z.string().regex(/^[a-z-]+$/, 'a guard has a lower-case name'), kinds).default({}),
  nested: z
    .strictObject({ clock_skew: z.string().default('30s'), any: z.boolean().default(false) })
    .prefault({}),
  either: z.union([z.string(), z.strictObject({ url: z.string() })]).optional(),
});

function findingsOf(source: string): readonly Finding[] {
  try {
    parseYaml(source, schema, 'x.yaml');
  } catch (error) {
    assert.ok(error instanceof ConfigurationError, String(error));
    return error.findings;
  }
  return [];
}
const linesOf = (source: string): string[] => findingsOf(source).map(formatFinding);

describe('a YAML file', () => {
  const refusals: [string, string, string[]][] = [
    [
      'an unknown key, with the nearest known one',
      'name: a\nnested:\n  clock_skw: 1s\n',
      ['x.yaml:3:3 nested.clock_skw: unknown key "clock_skw"; did you mean "clock_skew"?'],
    ],
    [
      'an unknown key at the top',
      'nme: a\n',
      [
        'x.yaml:1:1 name: this key is missing (text)',
        'x.yaml:1:1 nme: unknown key "nme"; did you mean "name"?',
      ],
    ],
    [
      'an unknown key near nothing, without a guess',
      'name: a\nzzzzzzzz: 1\n',
      ['x.yaml:2:1 zzzzzzzz: unknown key "zzzzzzzz"'],
    ],
    ['a wrong type', 'name: [a]\n', ['x.yaml:1:1 name: expected text, found a list']],
    [
      'a wrong type inside a guard',
      'name: a\nguards:\n  c: { kind: ceilings, max_tokens: many }\n',
      ['x.yaml:3:24 guards.c.max_tokens: expected a number, found text'],
    ],
    [
      'a key given twice, with its path',
      'name: a\nnested:\n  any: true\n  any: false\n',
      ['x.yaml:4:3 nested.any: this key is given twice'],
    ],
    [
      'a misspelt word of a closed list',
      'name: a\nalgorithms: [RS265]\n',
      ['x.yaml:2:14 algorithms.0: expected one of RS256, ES256; did you mean "RS256"?'],
    ],
    [
      'a misspelt kind',
      'name: a\nguards: { w: { kind: wrds, words: [x] } }\n',
      ['x.yaml:2:16 guards.w.kind: expected one of words, ceilings; did you mean "words"?'],
    ],
    [
      'a missing kind',
      'name: a\nguards: { w: { words: [x] } }\n',
      ['x.yaml:2:11 guards.w.kind: this key is missing (one of words, ceilings)'],
    ],
    [
      'an empty list',
      'name: a\nguards: { w: { kind: words, words: [] } }\n',
      ['x.yaml:2:29 guards.w.words: the list is empty'],
    ],
    [
      'a bad name in a record',
      'name: a\nguards: { W1: { kind: words, words: [x] } }\n',
      ['x.yaml:2:11 guards.W1: a guard has a lower-case name'],
    ],
    [
      'a union that fits no branch',
      'name: a\neither: 3\n',
      ['x.yaml:2:1 either: expected text or a mapping, found a number'],
    ],
    [
      'an unknown key in a branch of a union',
      'name: a\neither: { url: x, ulr: y }\n',
      ['x.yaml:2:19 either.ulr: unknown key "ulr"; did you mean "url"?'],
    ],
    ['an empty file', '', ['x.yaml:1:1 name: this key is missing (text)']],
    ['a list where a mapping belongs', '- a\n', ['x.yaml:1:1 expected a mapping, found a list']],
    ['a value with nothing in it', 'name:\n', ['x.yaml:1:1 name: expected text, found nothing']],
    [
      '__proto__ as a key',
      'name: a\nguards:\n  __proto__: { kind: words, words: [x] }\n',
      ['x.yaml:3:3 guards.__proto__: this key is not permitted'],
    ],
    ['a mapping as a key', 'name: a\n? [a, b]\n: c\n', ['x.yaml:2:3 a key is plain text']],
    ['an unknown tag', 'name: !secret a\n', ['x.yaml:1:7 Unresolved tag: !secret']],
    ['a second document', 'name: a\n---\nname: b\n', ['x.yaml:2:1 the file holds more than one document']],
    ['a tab as indentation', 'nested:\n\tany: true\n', ['x.yaml:2:1 Tabs are not allowed as indentation']],
    ['an alias without an anchor', 'name: *x\n', ['x.yaml:1:1 a YAML alias names no anchor before it']],
    ['the merge key', 'name: a\n<<: { name: b }\n', ['x.yaml:2:1 <<: unknown key "<<"']],
  ];
  it('refuses nesting without end', () => {
    assert.match(linesOf(`name: ${'['.repeat(20_000)}`)[0] ?? '', /^x\.yaml:1:\d+ it is nested too deeply$/);
  });
  for (const [what, source, expected] of refusals) {
    it(`refuses ${what}`, () => assert.deepEqual(linesOf(source), expected));
  }

  it('refuses an alias bomb', () => {
    const source =
      'name: a\na: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c]\n';
    assert.deepEqual(
      findingsOf(source).map((finding) => finding.message),
      ['too many YAML aliases'],
    );
  });

  it('refuses bottomless nesting without falling over', () => {
    const findings = findingsOf(`name: ${'['.repeat(50_000)}`);
    assert.ok(findings.length > 0 && findings.length <= 10);
    assert.equal(findings[0]?.code, 'yaml_syntax');
  });

  it('reports every fault in one run, each with its code', () => {
    const findings = findingsOf('name: 1\nnestd: {}\nguards: { c: { kind: ceilings, max_token: 1 } }\n');
    assert.deepEqual(
      findings.map((finding) => [finding.code, finding.suggestion]),
      [
        ['wrong_value', undefined],
        ['unknown_key', 'max_tokens'],
        ['unknown_key', 'nested'],
      ],
    );
  });

  it('suggests keys of the chosen kind only', () => {
    const [finding] = findingsOf('name: a\nguards: { w: { kind: words, words: [x], wordx: 1 } }\n');
    assert.equal(finding?.suggestion, 'words');
  });

  it('accepts anchors in moderation, comments and a byte order mark', () => {
    const folder = mkdtempSync(join(tmpdir(), 'sallyport-yaml-'));
    after(() => rmSync(folder, { recursive: true }));
    const path = join(folder, 'a.yaml');
    writeFileSync(path, '\uFEFF# comment\nname: &n abc\neither: *n\n');
    assert.deepEqual(readYamlFile(path, schema).value, {
      name: 'abc',
      either: 'abc',
      algorithms: ['RS256'],
      guards: {},
      nested: { clock_skew: '30s', any: false },
    });
    writeFileSync(path, Buffer.from([0xff, 0xfe, 0x61, 0x00]));
    assert.throws(() => readYamlFile(path, schema, 'a.yaml'), {
      message: 'a.yaml:1:1 the file is not UTF-8 text',
    });
    assert.throws(() => readYamlFile(join(folder, 'b.yaml'), schema, 'b.yaml'), {
      message: 'b.yaml:1:1 the file does not exist',
    });
    assert.throws(() => readYamlFile(folder, schema, 'c.yaml'), {
      message: 'c.yaml:1:1 the file cannot be read (EISDIR)',
    });
  });
});

describe('the nearest known word', () => {
  const known = ['audiences', 'client_ids', 'clock_skew', 'by', 'n', 'max_tokens'];
  for (const [word, expected] of [
    ['audience', 'audiences'],
    ['clientIds', 'client_ids'],
    ['max-tokens', 'max_tokens'],
    ['yb', 'by'],
    ['CLOCK_SKEW', 'clock_skew'],
    ['something', undefined],
    ['m', undefined],
    ['', undefined],
  ] as const) {
    it(`of "${word}" is ${expected ?? 'none'}`, () => assert.equal(nearest(word, known), expected));
  }
});
