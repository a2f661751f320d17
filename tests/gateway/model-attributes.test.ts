import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ConfigurationError, formatFinding, parseYaml } from '../../core/yaml-file.ts';
import { checkExpression } from '../../gateway/authorize/cel/check-expression.ts';
import { createCelEnvironment } from '../../gateway/authorize/cel/environment.ts';
import {
  compileRoles,
  compileRules,
  decide,
  evaluationRequest,
  rolesSchema,
  rulesSchema,
} from '../../gateway/authorize/index.ts';
import { gatewayConfigSchema } from '../../gateway/config.ts';
import { attributeTypes } from '../../gateway/model-attributes.ts';
import { policyContext } from '../../gateway/policies/context.ts';
import { loadBundle } from '../../gateway/policies/bundle.ts';
import { context, writePolicies } from './policies/policy-directory.ts';
import { principalWith, requestWith, routeWith } from './parsed-request.ts';

const configured = (models: string): string => `upstreams:
  one: { kind: openai, url: 'http://127.0.0.1:1', models: [plain, { id: small, attributes: { tier: free } }] }
  two:
    kind: openai
    url: http://127.0.0.1:2
    models:
${models
  .split('\n')
  .map((line) => `      - ${line}\n`)
  .join('')}`;

const read = (models: string): ReturnType<typeof policyContext> =>
  policyContext(parseYaml(configured(models), gatewayConfigSchema, 'gateway.yaml').value);

function findingsOf(models: string): string[] {
  try {
    read(models);
  } catch (error) {
    assert.ok(error instanceof ConfigurationError, String(error));
    return error.findings.map(formatFinding);
  }
  return assert.fail('nothing was refused');
}

const models = `{ id: large, attributes: { tier: premium, context: 8192, cost: 2, open: true, languages: [de, en] } }
{ id: odd, attributes: { cost: 0.5 } }`;

describe('attributes of models in the configuration', () => {
  it('are known by the id of the model, beside models that are an id alone', () => {
    const { models: known, modelAttributes } = read(models);
    assert.deepEqual([...known.keys()], ['plain', 'small', 'large', 'odd']);
    assert.deepEqual(modelAttributes?.get('plain'), {});
    assert.deepEqual(modelAttributes.get('small'), { tier: 'free' });
  });

  it('are those of the first upstream where two serve one model', () => {
    const { models: known, modelAttributes } = read('{ id: small, attributes: { tier: premium } }');
    assert.equal(known.get('small'), 'one');
    assert.deepEqual(modelAttributes?.get('small'), { tier: 'free' });
  });

  it('have the types of CEL: a whole number is double where another model has a fraction', () => {
    assert.deepEqual(attributeTypes(read(models).modelAttributes?.values() ?? []), {
      tier: 'string',
      context: 'int',
      cost: 'double',
      open: 'bool',
      languages: 'list<string>',
    });
  });

  const refusals: [what: string, entry: string, line: string][] = [
    [
      'another type than on an earlier model',
      '{ id: x, attributes: { tier: 3 } }',
      'gateway.yaml:7:32 upstreams.two.models.0.attributes.tier: tier is a number here and text on small; an attribute has one type over all models',
    ],
    [
      'a mapping',
      '{ id: x, attributes: { tier: { a: b } } }',
      'gateway.yaml:7:32 upstreams.two.models.0.attributes.tier: expected text or a number or true or false or a list, found a mapping',
    ],
    [
      'a list of numbers',
      '{ id: x, attributes: { sizes: [1] } }',
      'gateway.yaml:7:40 upstreams.two.models.0.attributes.sizes.0: expected text, found a number',
    ],
    [
      'nothing',
      '{ id: x, attributes: { tier: } }',
      'gateway.yaml:7:32 upstreams.two.models.0.attributes.tier: expected text or a number or true or false or a list, found nothing',
    ],
    ['infinity', '{ id: x, attributes: { cost: .inf } }', 'gateway.yaml:7:32'],
    [
      'a name that CEL cannot say',
      '{ id: x, attributes: { in: a } }',
      'gateway.yaml:7:32 upstreams.two.models.0.attributes.in: this is a word of CEL; name the attribute otherwise',
    ],
    [
      'a name with a hyphen',
      '{ id: x, attributes: { my-tier: a } }',
      'gateway.yaml:7:32 upstreams.two.models.0.attributes.my-tier: an attribute is named by lower-case letters, digits and _',
    ],
    [
      'a misspelt key',
      '{ id: x, atributes: { tier: a } }',
      'gateway.yaml:7:18 upstreams.two.models.0.atributes: unknown key "atributes"; did you mean "attributes"?',
    ],
    [
      'no id',
      '{ attributes: { tier: a } }',
      'gateway.yaml:7:9 upstreams.two.models.0.id: this key is missing (text)',
    ],
  ];
  for (const [what, entry, line] of refusals)
    it(`are refused for ${what}`, () => {
      const [found] = findingsOf(entry);
      assert.ok(found?.startsWith(line), found);
    });
});

describe('an expression over resource.attributes', () => {
  const { modelAttributes = new Map() } = read(models);
  const types = attributeTypes(modelAttributes.values());
  const environment = createCelEnvironment(types);
  const faults: [expression: string, word: string, code: string, suggestion?: string][] = [
    ['resource.attributes.teir == "premium"', 'teir', 'cel_unknown_field', 'tier'],
    ['has(resource.attributes.contxt)', 'contxt', 'cel_unknown_field', 'context'],
    ['has(resource.atributes.tier)', 'atributes', 'cel_unknown_field', 'attributes'],
    ['resource.attributes.__proto__ == "x"', '__proto__', 'cel_unknown_field'],
    ['resource.attributes.constructor == "x"', 'constructor', 'cel_unknown_field'],
    ['has(resource.__proto__.x)', '__proto__', 'cel_unknown_field'],
    ['resource.tier == "premium"', 'tier', 'cel_unknown_field', 'attributes.tier'],
    ['resource.attributes.context > "8k"', 'resource.attributes.context > "8k"', 'cel_type'],
    ['resource.attributes.tier', 'resource.attributes.tier', 'cel_not_bool'],
  ];
  for (const [expression, word, code, suggestion] of faults)
    it(`is refused: ${expression}`, () => {
      const [fault] = checkExpression(expression, environment, { attributes: types });
      assert.ok(fault);
      assert.deepEqual(
        [fault.code, fault.suggestion, expression.slice(fault.range.start, fault.range.end)],
        [code, suggestion, word],
      );
    });

  const codeOn = (when: string, model: string | null): string => {
    assert.deepEqual(checkExpression(when, environment, { attributes: types }), []);
    const known = ['plain', 'small', 'large', 'odd'];
    const request = requestWith({
      route: routeWith({ action: 'chat.completions.create' }),
      principal: principalWith({ roles: ['User'] }),
      model,
      models: known,
      authorization: compileRoles(
        rolesSchema.parse({ roles: { User: { permits: ['chat.completions.create'], models: ['*'] } } }),
        known,
      ),
      rules: compileRules(
        rulesSchema.parse({ rules: [{ name: 'one', effect: 'deny', when }] }),
        [],
        modelAttributes,
      ),
    });
    return decide(evaluationRequest(request, model), request.snapshot).code;
  };

  const seen = [
    'resource.attributes.tier == "premium"',
    'resource.attributes.context > 4096 && resource.attributes.context == 8192',
    'resource.attributes.cost > 1.5 && resource.attributes.cost > 1',
    'resource.attributes.open && "de" in resource.attributes.languages',
    'has(resource.attributes.tier) && resource.id == "large"',
  ];
  for (const when of seen)
    it(`sees ${when}`, () => {
      assert.equal(codeOn(when, 'large'), 'when_matched');
    });

  it('that reads what the model does not have fails, which denies; has() asks first', () => {
    assert.equal(codeOn('resource.attributes.tier == "premium"', 'odd'), 'when_failed');
    assert.equal(codeOn('resource.attributes.tier == "premium"', 'plain'), 'when_failed');
    assert.equal(codeOn('resource.attributes.tier == "premium"', null), 'when_failed');
    assert.equal(
      codeOn('has(resource.attributes.tier) && resource.attributes.tier == "x"', 'odd'),
      'role_permits',
    );
  });

  it('with a typo is a finding with line and column when the policies are read', () => {
    const { directory, remove } = writePolicies({
      'rules.yaml': `rules:\n  - { name: a, effect: deny, when: 'resource.attributes.teir == "x"' }\n`,
    });
    const load = (attributes: typeof modelAttributes): string => {
      try {
        loadBundle(directory, { ...context, modelAttributes: attributes });
      } catch (error) {
        assert.ok(error instanceof ConfigurationError, String(error));
        return error.findings.map(formatFinding).join('\n').replace(`${directory}/`, '');
      }
      return 'good';
    };
    try {
      assert.equal(
        load(modelAttributes),
        'rules.yaml:2:57 rules.0.when: resource.attributes has no "teir"; did you mean "tier"?',
      );
      assert.equal(load(new Map()), 'rules.yaml:2:57 rules.0.when: resource.attributes has no "teir"');
    } finally {
      remove();
    }
  });
});
