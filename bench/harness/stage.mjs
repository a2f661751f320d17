// `--stage`: what each stage of the pipeline takes by itself, inside a gateway that serves requests, and what each feature
// costs when it is switched off or on.
import { asGateway, startNodePart } from './processes.mjs';
import { checkGuard } from './guard-check.mjs';
import { connections, measure, turned, warm } from './rounds.mjs';
import { median, quantile } from './statistics.mjs';
import { variants } from '../contestants/gateway-variants.mjs';

const clock = new URL('stage-clock.mjs', import.meta.url).pathname;

/** Starts gateways that differ in one thing each, tries their guards and warms them. */
async function startGateways(list, { load, guard, context, options }) {
  const { pem: _, folder: __, core, ...common } = context;
  const gateways = [];
  for (const { name, variant = 'everything on', execArgv = [] } of list) {
    const part = await startNodePart(
      'contestants/gateway.mjs',
      { ...common, isSource: options.isSource, variant },
      { ...asGateway, core, execArgv: [...asGateway.execArgv, ...execArgv] },
    );
    const gateway = {
      name,
      guards: true,
      guardsRequests: variant === 'everything on',
      warmRequests: 20_000,
      part,
      rounds: [],
    };
    await checkGuard(gateway, guard);
    await warm(gateway, load, options.plan);
    gateways.push(gateway);
  }
  return gateways;
}

async function roundsOf(gateways, { load, tell, what, rounds, seconds }) {
  const durationMs = seconds * 1000;
  for (let round = 0; round < rounds; round++) {
    tell(`${what}, round ${round + 1} of ${rounds}`);
    for (const gateway of turned(gateways, round)) {
      const { cpu, count } = await measure(gateway, load, { connections, durationMs });
      gateway.rounds.push({ cpu: cpu / count, count });
    }
  }
}

/** As long in all, in pieces of half a second: more of them fall into calm moments. */
const shortRounds = ({ rounds, seconds }) => ({
  rounds: Math.max(1, Math.round(rounds * seconds * 1.2)),
  seconds: Math.min(seconds, 0.5),
});

/** The tables of both. */
export async function benchStages(options, { folder, prepare, tell }) {
  const prepared = await prepare(folder, { freshTokens: 0 });
  const shared = { ...prepared, options, tell };

  const [plain, clocked] = await startGateways(
    [{ name: 'plain' }, { name: 'clocked', execArgv: ['--import', clock] }],
    shared,
  );
  await clocked.part.ask({ forget: true }, 'forget');
  await roundsOf([plain, clocked], { ...shared, ...options.plan, what: 'stages' });
  const stages = await clocked.part.ask({ stages: true }, 'stages');
  const tables = [stageTable(stages, { plain, clocked })];
  for (const { part } of [plain, clocked]) part.stop();

  if (!options.hasFeatures) return tables;
  const features = await startGateways(
    Object.keys(variants).map((variant) => ({ name: variant, variant })),
    shared,
  );
  await roundsOf(features, { ...shared, ...shortRounds(options.plan), what: 'features' });
  return [...tables, featureTable(features)];
}

/** Functions of the request's way as a tree, without those that every second request does without or that take less than 50 ns. */
export function stageTable(stages, { plain, clocked }) {
  const requests = clocked.rounds.reduce((sum, { count }) => sum + count, 0);
  const often = stages.filter(({ calls }) => calls >= requests / 2);
  const micro = (nanoseconds) => (nanoseconds / 1000).toFixed(2);
  const rows = often
    .filter(({ median: middle, depth }) => middle >= 50 && depth <= 3)
    .map(({ label, depth, calls, min, low, median: middle }) => [
      `${'› '.repeat(depth)}${label}`,
      (calls / requests).toFixed(1),
      micro(min),
      micro(low),
      micro(middle),
    ]);
  const whole = median(plain.rounds.map(({ cpu }) => cpu));
  const timed = stages
    .filter(({ depth }) => depth === 0)
    .reduce((sum, { calls, median: middle }) => sum + (middle * calls) / requests / 1000, 0);
  rows.push(
    ['sum of the outermost, rare ones included', '', '', '', timed.toFixed(2)],
    ['rest: sockets, HTTP, event loop, collection of garbage', '', '', '', (whole - timed).toFixed(2)],
    ['whole, CPU per request without clocks', '', '', '', whole.toFixed(2)],
  );
  return {
    title: 'Stages, each timed alone inside a serving gateway',
    about: '`›` marks a part of the row above it. An async function is timed until it first waits.',
    header: ['function', 'calls/request', 'least µs', '10 % below', 'median µs'],
    rows,
  };
}

/**
 * CPU per request of each variant against `everything on`. Other work on the machine only ever adds: the low quarter of many
 * short rounds is compared, not their middle.
 */
export function featureTable(features) {
  const [everything, ...others] = features;
  const lowOf = ({ rounds }) =>
    quantile(
      rounds.map(({ cpu }) => cpu),
      0.25,
    );
  const rows = others.map((variant) => {
    const difference = lowOf(variant) - lowOf(everything);
    return [variant.name, lowOf(variant).toFixed(1), `${difference > 0 ? '+' : ''}${difference.toFixed(1)}`];
  });
  return {
    title: 'What each feature costs',
    about: 'The low quarter of many short interleaved rounds, against everything on.',
    header: ['gateway', 'CPU µs/request', 'difference'],
    rows: [[everything.name, lowOf(everything).toFixed(1), ''], ...rows],
  };
}
