// What a bench changes in the policies and the configuration that ship: numbers of limits, and for the cost of a feature
// one thing taken away or added.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';

const manyRequests = 1_000_000_000;
const manyModelTokens = 1_000_000_000_000;

/** Changes policy files of a folder as data; what a change returns is not used. */
export function policyEditor(folder) {
  return (name, change) => {
    const path = join(folder, `${name}.yaml`);
    const value = parse(readFileSync(path, 'utf8'));
    change(value);
    writeFileSync(path, stringify(value));
  };
}

const chat = ({ routes }) => routes['chat.completions'];

/** Raises every number; where no limit of chat requests counts model tokens, one is added. */
export function raiseLimits(edit) {
  edit('routes', (routes) =>
    edit('limits', ({ limits }) => {
      for (const limit of Object.values(limits)) {
        if (limit.requests !== undefined) limit.requests = manyRequests;
        if (limit.model_tokens !== undefined) limit.model_tokens = manyModelTokens;
      }
      if (chat(routes).limits.some((name) => limits[name].model_tokens !== undefined)) return;
      limits['bench-model-tokens'] = { by: 'principal', model_tokens: manyModelTokens, window: '1m' };
      chat(routes).limits.push('bench-model-tokens');
    }),
  );
}

/** Takes what is meant off the list of the chat route; `kind` is limits or guards. */
const without =
  (kind, isMeant) =>
  ({ edit }) =>
    edit('routes', (routes) =>
      edit(kind, (policy) => {
        chat(routes)[kind] = chat(routes)[kind].filter((name) => !isMeant(policy[kind][name]));
      }),
    );

const withRules =
  (rules) =>
  ({ edit }) =>
    edit('rules', (policy) => {
      policy.rules = rules;
    });

/** By name, what is different from `everything on`; each gets `{ edit, config }`. */
export const variants = {
  'everything on': () => undefined,
  'without decision records': ({ config }) => {
    config.decisions = { record: false };
  },
  'without the request limit': without('limits', (limit) => limit.requests !== undefined),
  'without the model-token limit': without('limits', (limit) => limit.model_tokens !== undefined),
  'without the guard denied_words': without('guards', (guard) => guard.kind === 'denied_words'),
  'without the guard parameter_ceilings': without('guards', (guard) => guard.kind === 'parameter_ceilings'),
  'without the identity assertion': ({ config }) => {
    delete config.upstreams.embedded.assertion;
  },
  'with a rule in CEL': withRules([
    { name: 'cel', effect: 'deny', models: ['tiny-gpt2'], when: 'request.max_tokens > 1000' },
  ]),
  'with 200 rules that look at the address': withRules(
    Array.from({ length: 200 }, (_, index) => ({
      name: `r${index}`,
      effect: 'deny',
      models: ['tiny-gpt2'],
      network: [`10.${index}.0.0/16`],
    })),
  ),
};
