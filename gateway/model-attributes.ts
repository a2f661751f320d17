// What an operator states about models in the configuration (`tier: premium`), for rules over `resource.attributes`. An
// attribute has one type over all models, so that an expression about it can be checked when the policies are read.
import { z } from 'zod';

/** Words that CEL keeps for itself; an attribute named so could not be asked for. */
const reservedWords =
  /^(as|break|const|continue|else|false|for|function|if|import|in|let|loop|namespace|null|package|return|true|var|void|while)$/;

const attributeName = z
  .string()
  .regex(/^[a-z][a-z0-9_]{0,63}$/, 'an attribute is named by lower-case letters, digits and _')
  .refine((name) => !reservedWords.test(name), 'this is a word of CEL; name the attribute otherwise');

const attributeValue = z.union([z.string(), z.number(), z.boolean(), z.array(z.string())], {
  error: 'expected text, a number, true or false, or a list of texts',
});

/** One model of an upstream: its id, or the id with its attributes. */
export const modelEntry = z.union([
  z.string().min(1),
  z.strictObject({
    id: z.string().min(1).describe('Id of the model.'),
    attributes: z
      .record(attributeName, attributeValue)
      .default({})
      .describe(
        'What rules may ask of the model as `resource.attributes.<name>`: texts, numbers, true or false, lists of texts; of one type over all models. Callers never see them.',
      ),
  }),
]);
type ModelEntry = z.output<typeof modelEntry>;

/** Attributes of one model. */
export type ModelAttributes = Readonly<Record<string, z.output<typeof attributeValue>>>;

/** The id of an entry. */
export function modelIdOf(entry: ModelEntry): string {
  return typeof entry === 'string' ? entry : entry.id;
}

/** The attributes of an entry; none when only the id is given. */
export function attributesOf(entry: ModelEntry): ModelAttributes {
  return typeof entry === 'string' ? {} : entry.attributes;
}

const typeOf = (value: ModelAttributes[string]): string => {
  if (Array.isArray(value)) return 'list<string>';
  if (typeof value === 'number') return Number.isSafeInteger(value) ? 'int' : 'double';
  return typeof value === 'boolean' ? 'bool' : 'string';
};

/** CEL types by attribute; whole numbers are double where another model has a fraction. */
export function attributeTypes(models: Iterable<ModelAttributes>): Readonly<Record<string, string>> {
  const types: Record<string, string> = {};
  for (const attributes of models)
    for (const [name, value] of Object.entries(attributes)) {
      const type = typeOf(value);
      if (types[name] === undefined || type === 'double') types[name] = type;
    }
  return types;
}

/** The values as CEL wants them: whole numbers of type int are bigint. */
export function celAttributes(
  attributes: ModelAttributes,
  types: Readonly<Record<string, string>>,
): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(attributes).map(([name, value]) => [
      name,
      types[name] === 'int' && typeof value === 'number' ? BigInt(value) : value,
    ]),
  );
}

const words: Readonly<Record<string, string>> = {
  'list<string>': 'a list of texts',
  int: 'a number',
  double: 'a number',
  bool: 'true or false',
  string: 'text',
};

/** One attribute that is of another type than on an earlier model. */
export interface AttributeFault {
  /** Below `upstreams`. */
  readonly path: readonly (string | number)[];
  readonly message: string;
}

/** Attributes whose type differs from that of the first model that has them. */
export function attributeFaults(
  upstreams: Readonly<Record<string, { readonly models: readonly ModelEntry[] }>>,
): AttributeFault[] {
  const first = new Map<string, { readonly kind: string; readonly model: string }>();
  const faults: AttributeFault[] = [];
  for (const [upstream, { models }] of Object.entries(upstreams))
    for (const [index, entry] of models.entries())
      for (const [name, value] of Object.entries(attributesOf(entry))) {
        const kind = words[typeOf(value)] ?? '';
        const known = first.get(name);
        if (known === undefined) first.set(name, { kind, model: modelIdOf(entry) });
        else if (known.kind !== kind)
          faults.push({
            path: [upstream, 'models', index, 'attributes', name],
            message: `${name} is ${kind} here and ${known.kind} on ${known.model}; an attribute has one type over all models`,
          });
      }
  return faults;
}
