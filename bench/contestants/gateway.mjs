// The whole gateway as it is built, with the policies that ship and every stage on. Only numbers of limits are raised,
// because a bench sends more than a person does; where no shipped limit counts model tokens, one is added.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parse, stringify } from 'yaml';
import { ready } from './process.mjs';

const here = fileURLToPath(new URL('../..', import.meta.url));
const manyRequests = 1_000_000_000;
const manyModelTokens = 1_000_000_000_000;

/**
 * Starts it from `root` (default: this checkout; its dist/, or its sources with `isSource`) and resolves with its ports.
 * `variant` switches one thing off or on: see `variants`; `algorithms` are those that its issuer may sign with.
 */
export async function start({
  upstreamPort,
  issuer,
  root = here,
  isSource = false,
  variant = 'everything on',
  algorithms = ['RS256'],
}) {
  const module = (name) =>
    import(pathToFileURL(isSource ? join(root, `${name}.ts`) : join(root, 'dist', `${name}.js`)).href);
  const { gatewayConfigSchema } = await module('gateway/config');
  const { startGateway } = await module('gateway/server');
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-bench-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  const policies = join(folder, 'policies');
  cpSync(join(root, 'policies'), policies, { recursive: true });
  const config = {
    listen: '127.0.0.1:0',
    internal_listen: '127.0.0.1:0',
    policies,
    data: join(folder, 'data'),
    assertion_jwks: join(folder, 'run', 'gateway-jwks.json'),
    embedded_issuer: issuer,
    upstreams: {
      embedded: {
        kind: 'openai',
        url: `http://127.0.0.1:${upstreamPort}`,
        models: ['tiny-gpt2'],
        assertion: 'model-server',
      },
      accounts: { kind: 'http', url: `http://127.0.0.1:${upstreamPort}`, assertion: 'identity' },
    },
  };
  const edit = policyEditor(policies);
  edit('limits', raiseLimits);
  edit('issuers', ({ issuers }) => {
    issuers.embedded.algorithms = algorithms;
  });
  edit('routes', (routes) => countModelTokens(routes, edit));
  variants[variant]({ edit, config });
  const running = await startGateway(gatewayConfigSchema.parse(config));
  return {
    port: Number(new URL(running.address).port),
    internalPort: Number(new URL(running.internalAddress).port),
  };
}

/** Changes policy files as data; what a change returns is not used. */
function policyEditor(folder) {
  return (name, change) => {
    const path = join(folder, `${name}.yaml`);
    const value = parse(readFileSync(path, 'utf8'));
    change(value);
    writeFileSync(path, stringify(value));
  };
}

function raiseLimits({ limits }) {
  for (const limit of Object.values(limits)) {
    if (limit.requests !== undefined) limit.requests = manyRequests;
    if (limit.model_tokens !== undefined) limit.model_tokens = manyModelTokens;
  }
}

const chat = ({ routes }) => routes['chat.completions'];

function countModelTokens(routes, edit) {
  edit('limits', ({ limits }) => {
    if (chat(routes).limits.some((name) => limits[name].model_tokens !== undefined)) return;
    limits['bench-model-tokens'] = { by: 'principal', model_tokens: manyModelTokens, window: '1m' };
    chat(routes).limits.push('bench-model-tokens');
  });
}

const withoutLimits =
  (isMeant) =>
  ({ edit }) =>
    edit('limits', ({ limits }) =>
      edit('routes', (routes) => {
        chat(routes).limits = chat(routes).limits.filter((name) => !isMeant(limits[name]));
      }),
    );

const withoutGuards =
  (isMeant) =>
  ({ edit }) =>
    edit('guards', ({ guards }) =>
      edit('routes', (routes) => {
        chat(routes).guards = chat(routes).guards.filter((name) => !isMeant(guards[name]));
      }),
    );

const withRules =
  (rules) =>
  ({ edit }) =>
    edit('rules', (policy) => {
      policy.rules = rules;
    });

/** What `--stage` compares: everything as shipped, and the same with one thing taken away or added. */
export const variants = {
  'everything on': () => {},
  'without decision records': ({ config }) => {
    config.decisions = { record: false };
  },
  'without the request limit': withoutLimits((limit) => limit.requests !== undefined),
  'without the model-token limit': withoutLimits((limit) => limit.model_tokens !== undefined),
  'without the guard denied_words': withoutGuards((guard) => guard.kind === 'denied_words'),
  'without the guard parameter_ceilings': withoutGuards((guard) => guard.kind === 'parameter_ceilings'),
  'without the identity assertion': ({ config }) => {
    delete config.upstreams.embedded.assertion;
  },
  'with 200 rules, each looking at the address': withRules(
    Array.from({ length: 200 }, (_, index) => ({
      name: `r${index}`,
      effect: 'deny',
      models: ['tiny-gpt2'],
      network: [`10.${index}.0.0/16`],
    })),
  ),
  'with one rule in CEL': withRules([
    { name: 'cel', effect: 'deny', models: ['tiny-gpt2'], when: 'request.max_tokens > 1000' },
  ]),
};

ready(import.meta.url, start);
