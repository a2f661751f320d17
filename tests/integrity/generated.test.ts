import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { Ajv } from 'ajv';
import { parse } from 'yaml';
import { packageRoot } from '../../core/package.ts';

const generator = join(packageRoot, 'scripts/generate.mjs');
const { generate } = (await import(pathToFileURL(generator).href)) as {
  generate: () => Promise<ReadonlyMap<string, string>>; // A script has no types of its own.
};
const files = await generate();

interface JsonSchema {
  readonly description?: string;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly additionalProperties?: JsonSchema | boolean;
  readonly items?: JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
}

/** Paths of keys that an editor could say nothing about. */
function unexplained(schema: JsonSchema, path = ''): string[] {
  const own = Object.entries(schema.properties ?? {}).flatMap(([key, child]) => [
    ...(child.description === undefined || child.description === '' ? [`${path}.${key}`] : []),
    ...unexplained(child, `${path}.${key}`),
  ]);
  const { additionalProperties: entries } = schema;
  const inner = [
    ...(typeof entries === 'object' ? [entries] : []),
    ...(schema.items === undefined ? [] : [schema.items]),
    ...(schema.anyOf ?? []),
    ...(schema.oneOf ?? []),
  ];
  return [...own, ...inner.flatMap((child) => unexplained(child, `${path}.*`))];
}

describe('generated files', () => {
  for (const [path, text] of files) {
    it(`${path} is what the schemas say (else: npm run generate)`, () => {
      assert.equal(readFileSync(join(packageRoot, path), 'utf8'), text);
    });
  }

  for (const path of [...files.keys()].filter((name) => name.endsWith('.json'))) {
    const schema = JSON.parse(files.get(path) ?? '') as JsonSchema;
    const name = path.replace(/^schemas\/(.*)\.json$/, '$1');
    const isList = name === 'policy-tests';
    const yaml =
      name === 'config'
        ? 'config/sallyport.yaml'
        : isList
          ? 'policies/tests/people.yaml'
          : `policies/${name}.yaml`;

    it(`${path} explains every key`, () => assert.deepEqual(unexplained(schema), []));

    it(`${path} accepts ${yaml} as shipped and refuses an unknown key in it`, () => {
      const validate = new Ajv({ strict: false, validateFormats: false }).compile(schema);
      const shipped: unknown = parse(readFileSync(join(packageRoot, yaml), 'utf8'));
      assert.equal(validate(shipped), true, JSON.stringify(validate.errors));
      const [first, ...others] = Array.isArray(shipped) ? shipped : [shipped];
      const odd = { ...first, unheard_of: 1 };
      assert.equal(validate(isList ? [odd, ...others] : odd), false);
    });
  }
});
