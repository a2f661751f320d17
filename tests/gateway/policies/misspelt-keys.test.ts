// Every key of every schema, misspelt once by a seeded slip of the hand: the finding is exact about the place, and the
// suggestion is the key that was meant in at least 95 of 100.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { z } from 'zod';
import { packageRoot } from '../../../core/package.ts';
import { ConfigurationError, parseYaml, type Finding } from '../../../core/yaml-file.ts';
import { policyFiles } from '../../../gateway/policies/bundle.ts';
import { gatewayConfigSchema } from '../../../gateway/config.ts';
import { identityConfigSchema } from '../../../identity/config.ts';
import { modelServerConfigSchema } from '../../../model-server/config.ts';

interface JsonSchema {
  readonly type?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly additionalProperties?: JsonSchema | boolean;
  readonly items?: JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
}
type Path = readonly (string | number)[];

const { generate } = (await import(pathToFileURL(join(packageRoot, 'scripts/generate.mjs')).href)) as {
  generate: () => Promise<ReadonlyMap<string, string>>; // A script has no types of its own.
};
const generated = await generate();
const schemaOf = (name: string): JsonSchema =>
  JSON.parse(generated.get(`schemas/${name}.json`) ?? '') as JsonSchema;

/** A value in which every key of one way through the schema stands; scalars may be wrong, the keys are what counts. */
function sample(schema: JsonSchema, branch: number): unknown {
  const branches = schema.oneOf ?? schema.anyOf;
  if (branches !== undefined) return sample(branches[branch % branches.length] ?? {}, branch);
  if (schema.const !== undefined) return schema.const;
  if (schema.enum !== undefined) return schema.enum[0];
  if (schema.properties !== undefined) {
    return Object.fromEntries(
      Object.entries(schema.properties).map(([key, child]) => [key, sample(child, branch)]),
    );
  }
  if (typeof schema.additionalProperties === 'object')
    return { one: sample(schema.additionalProperties, branch) };
  if (schema.items !== undefined) return [sample(schema.items, branch)];
  return schema.type === 'string' ? 'text' : schema.type === 'boolean' ? true : 1;
}

/** Where the schema's own keys stand in a sample; keys that a record's author chooses are not among them. */
function keysOf(schema: JsonSchema, value: unknown, branch: number, path: Path = []): Path[] {
  const branches = schema.oneOf ?? schema.anyOf;
  if (branches !== undefined) return keysOf(branches[branch % branches.length] ?? {}, value, branch, path);
  if (schema.properties !== undefined) {
    return Object.entries(schema.properties).flatMap(([key, child]) => [
      [...path, key],
      ...keysOf(child, null, branch, [...path, key]),
    ]);
  }
  if (typeof schema.additionalProperties === 'object')
    return keysOf(schema.additionalProperties, null, branch, [...path, 'one']);
  return schema.items === undefined ? [] : keysOf(schema.items, null, branch, [...path, 0]);
}

let seed = 20_260_101;
const random = (below: number): number => (seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648) % below;

/** One slip: a letter left out, doubled, swapped with its neighbour or another one in its place. */
function misspell(word: string): string {
  const at = random(word.length);
  const slips = [
    word.slice(0, at) + word.slice(at + 1),
    word.slice(0, at) + word.charAt(at) + word.slice(at),
    at + 1 < word.length
      ? word.slice(0, at) + word.charAt(at + 1) + word.charAt(at) + word.slice(at + 2)
      : `${word}s`,
    `${word.slice(0, at)}x${word.slice(at + 1)}`,
  ];
  const slip = slips[random(4)] ?? word;
  return slip === word || slip === '' ? `${word}x` : slip;
}

/** The value with the key at `path` renamed, order kept. */
function renamed(value: unknown, path: Path, name: string): unknown {
  const [first, ...rest] = path;
  if (Array.isArray(value))
    return value.map((entry, index) => (index === first ? renamed(entry, rest, name) : entry));
  return Object.fromEntries(
    Object.entries(value as object).map(([key, child]) => {
      if (key !== first) return [key, child];
      return rest.length === 0 ? [name, child] : [key, renamed(child, rest, name)];
    }),
  );
}

function findingsOf(source: string, schema: z.ZodType): readonly Finding[] {
  try {
    parseYaml(source, schema, 'x.yaml');
  } catch (error) {
    assert.ok(error instanceof ConfigurationError, String(error));
    return error.findings;
  }
  return [];
}

const config = schemaOf('config').properties;
const subjects: [string, z.ZodType, JsonSchema][] = [
  ...Object.entries(policyFiles).map(([file, schema]): [string, z.ZodType, JsonSchema] => [
    file,
    schema,
    schemaOf(file.replace('.yaml', '')),
  ]),
  ['gateway', gatewayConfigSchema, config?.['gateway'] ?? {}],
  ['identity', identityConfigSchema, config?.['identity'] ?? {}],
  ['model_server', modelServerConfigSchema, config?.['model_server'] ?? {}],
];

describe('every key of every schema, misspelt', () => {
  let right = 0;
  let total = 0;
  for (const [name, schema, json] of subjects) {
    it(`of ${name} is found at its place`, () => {
      for (const branch of [0, 1]) {
        const value = sample(json, branch);
        for (const path of keysOf(json, value, branch)) {
          const key = String(path.at(-1));
          const marker = 'MISSPELT-HERE';
          const lines = stringify(renamed(value, path, marker)).split('\n');
          const line = lines.findIndex((text) => text.includes(marker)) + 1;
          const column = (lines[line - 1] ?? '').indexOf(marker) + 1;
          const wrong = misspell(key);
          const expected = [...path.slice(0, -1), wrong].join('.');
          const found = findingsOf(lines.join('\n').replace(marker, wrong), schema).find(
            (finding) => finding.keyPath === expected,
          );
          assert.deepEqual(
            [found?.code, found?.line, found?.column],
            ['unknown_key', line, column],
            expected,
          );
          total += 1;
          if (found?.suggestion === key) right += 1;
        }
      }
    });
  }

  it('is recognised in at least 95 of 100', () => {
    assert.ok(total > 150, `only ${total} keys were tried`);
    assert.ok(right / total >= 0.95, `${right} of ${total}`);
  });
});
