import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { StrictJsonError } from '../../core/strict-json.ts';
import { parseStrictJson } from '../../gateway/strict-json.ts';

const refusals: [title: string, body: string | Buffer, problem: RegExp][] = [
  ['an empty body', '', /not valid JSON/],
  ['two documents', '{}{}', /not valid JSON/],
  ['a trailing comma', '{"a":1,}', /not valid JSON/],
  ['a comment', '{"a":1}//x', /not valid JSON/],
  ['NaN', '{"a":NaN}', /not valid JSON/],
  ['single quotes', "{'a':1}", /not valid JSON/],
  ['a number too large for a double', '{"a":1e400}', /out of range/],
  ['an array at the top', '[{"model":"x"}]', /not a JSON object/],
  ['null', 'null', /not a JSON object/],
  ['a string', '"x"', /not a JSON object/],
  ['a duplicate member', '{"model":"a","model":"b"}', /twice/],
  ['a duplicate member written with an escape', '{"model":"a","mod\\u0065l":"b"}', /twice/],
  ['a duplicate with equal values', '{"model":"a","model":"a"}', /twice/],
  ['a duplicate member deep inside', '{"a":[{"b":{"c":1,"c":2}}]}', /twice/],
  ['a duplicate behind a string full of quotes and colons', '{"a":"\\"x\\":1\\\\","b":1,"b":2}', /twice/],
  ['a member that differs by case', '{"model":"a","Model":"b"}', /letter case/],
  ['a member in upper case alone', '{"MODEL":"b"}', /letter case/],
  ['a member with the long s', '{"me\u017f\u017fages":[]}', /letter case/],
  ['__proto__', '{"__proto__":{"admin":true}}', /__proto__/],
  ['__proto__ written with an escape', '{"__pr\\u006fto__":{"admin":true}}', /__proto__/],
  ['__proto__ deep inside', '{"a":[{"b":{"__proto__":1}}]}', /__proto__/],
  ['nesting of 33 levels', `${'{"a":'.repeat(33)}1${'}'.repeat(33)}`, /nested deeper/],
  ['nesting of 100,000 arrays', `{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`, /nested deeper/],
  ['a byte order mark', Buffer.from('\uFEFF{"a":1}'), /byte order mark/],
  ['invalid UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), /UTF-8/],
  ['an overlong encoding', Buffer.from([0x7b, 0x22, 0xc0, 0xae, 0x22, 0x3a, 0x31, 0x7d]), /UTF-8/],
  ['UTF-16', Buffer.from('{"a":1}', 'utf16le'), /not valid JSON/],
];

describe('parseStrictJson', () => {
  for (const [title, body, problem] of refusals) {
    it(`refuses ${title}`, () => {
      assert.throws(
        () => parseStrictJson(Buffer.isBuffer(body) ? body : Buffer.from(body)),
        (error: unknown) => error instanceof StrictJsonError && problem.test(error.message),
      );
    });
  }

  it('leaves the prototype of objects alone', () => {
    assert.throws(() =>
      parseStrictJson(Buffer.from('{"constructor":{"prototype":{"a":1}},"__proto__":{"polluted":1}}')),
    );
    assert.equal(({} as Record<string, unknown>)['polluted'], undefined);
  });

  it('accepts equal members in different objects, and colons and quotes inside strings', () => {
    const text =
      '{"messages":[{"role":"user","content":"a: \\"b\\": {1:2}\\\\"},{"role":"user","content":":"}],"n":1}';
    assert.deepEqual(parseStrictJson(Buffer.from(text)).json, JSON.parse(text));
  });

  it('accepts 20,000 integer-like members', () => {
    const text = JSON.stringify(
      Object.fromEntries(Array.from({ length: 20_000 }, (_, index) => [String(index), index])),
    );
    assert.equal(Object.keys(parseStrictJson(Buffer.from(text)).json).length, 20_000);
  });

  it('says of a body that all its texts are plain only where that is so', () => {
    const isPlain = (source: string): boolean | undefined => parseStrictJson(Buffer.from(source)).isPlain;
    for (const source of ['{}', '{"a":"b c~"}', '{"a":"\\n\\r\\t\\"\\/\\\\"}', '{ "a" :\n\t1 }'])
      assert.equal(isPlain(source), true, source);
    for (const source of ['"\\u0041"', '"\\b"', '"\\f"', '"\u007f"', '"é"', '"\u200b"', '"\\ud800"'])
      assert.equal(isPlain(`{"a":${source}}`), false, source);
    assert.equal(isPlain('{"é":1}'), false);
  });

  it('accepts nesting of 32 levels', () => {
    assert.ok(parseStrictJson(Buffer.from(`${'{"a":'.repeat(32)}1${'}'.repeat(32)}`)));
  });
});
