// `--profile FILE`: a CPU profile of the gateway under load, and what it says by group of code.
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { startContestants } from './contestants.mjs';
import { checkGuard } from './guard-check.mjs';
import { measure, warm } from './rounds.mjs';

/** Groups by the place of a function, first match; what has no place is native code. */
const groups = [
  [/node_modules\/((?:@[^/]+\/)?[^/]+)/, (match) => match[1]],
  [/\/(?:dist\/)?gateway\/([a-z-]+)\//, (match) => `gateway/${match[1]}/`],
  [/\/(?:dist\/)?gateway\/([a-z-]+)\./, (match) => `gateway/${match[1]}`],
  [/\/(?:dist\/)?core\//, () => 'core/'],
  [/^node:(?:_http|internal\/http|http)/, () => 'node: http'],
  [/^node:(?:net|internal\/(?:stream_base|net))/, () => 'node: net'],
  [/^node:(?:internal\/)?(?:streams|stream)/, () => 'node: streams'],
  [/^node:events/, () => 'node: events'],
  [/^node:(?:buffer|internal\/buffer)/, () => 'node: buffer'],
  [/^node:internal\/(?:timers|process|async|per_context|abort|event)/, () => 'node: ticks, timers, signals'],
  [/^node:/, () => 'node: the rest'],
];

/** Shares of the time that was not idle, greatest first; a function of native code stands by itself. */
export function groupProfile(profile) {
  const nodes = new Map(profile.nodes.map((node) => [node.id, node.callFrame]));
  const times = new Map();
  let total = 0;
  profile.samples.forEach((id, index) => {
    const { functionName, url } = nodes.get(id);
    // The profiler's own start and stop are no work of the gateway.
    if (functionName === '(idle)' || url === 'node:inspector') return;
    const time = Math.max(0, profile.timeDeltas[index]);
    total += time;
    const name = groupOf(functionName, url);
    times.set(name, (times.get(name) ?? 0) + time);
  });
  return [...times]
    .map(([name, time]) => ({ name, share: time / total }))
    .sort((left, right) => right.share - left.share);
}

function groupOf(functionName, url) {
  if (url === '') return `native: ${functionName === '' ? 'anonymous' : functionName}`;
  for (const [pattern, name] of groups) {
    const match = pattern.exec(url);
    if (match !== null) return name(match);
  }
  return 'elsewhere';
}

/** Runs the gateway under load with the profiler on, writes the profile and resolves with a table of its groups. */
export async function profileGateway(options, { folder, prepare, tell }) {
  const { load, guard, context } = await prepare(folder, { freshTokens: 0 });
  const { started } = await startContestants(
    { ...options, names: ['gateway'], before: null, freshTokens: 0 },
    context,
  );
  const [gateway] = started;
  await checkGuard(gateway, guard);
  await warm(gateway, load, options.plan);
  const run = { connections: 32, durationMs: options.plan.seconds * 1000 };
  const plain = await measure(gateway, load, run);
  const file = resolve(options.profile);
  await gateway.part.ask({ profile: {} }, 'profile');
  await measure(gateway, load, run);
  await gateway.part.ask({ profile: { file } }, 'profile');
  tell(`profile: ${file} (Chrome's developer tools and VS Code open it)`);
  const whole = plain.cpu / plain.count;
  const rows = groupProfile(JSON.parse(readFileSync(file, 'utf8')))
    .filter(({ share }) => share >= 0.002)
    .map(({ name, share }) => [name, `${(share * 100).toFixed(1)} %`, (share * whole).toFixed(1)]);
  return [
    {
      title: `Where ${whole.toFixed(1)} µs of CPU per request go`,
      about: "By the profiler's samples of the main thread.",
      header: ['code', 'share', 'µs'],
      rows,
    },
  ];
}
