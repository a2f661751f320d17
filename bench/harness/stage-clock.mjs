// Loaded with --import into a gateway that `--stage` looks at: every function that the request's way imports from another
// module of the gateway is wrapped in a clock. Nothing is named here but the importing modules, so that a stage that is
// added, renamed or moved is timed without a word.
import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';

/** Modules whose imports are timed: the way in, the pipeline, the way out, the end. */
const importers = /\/gateway\/(?:[a-z-]+|forward\/[a-z-]+|accounting\/index)\.(?:js|ts)$/;
/** What is created once and called on every request: the methods of the result are timed. */
const factories = /^create(?:AuditLog|Metrics|DecisionLog|LimitStore)$/;
const samplesKept = 20_000;

/** Function by function, in the order in which requests first reach them. */
const timed = new Map();
/** The calls under way, innermost last; what was called from an event starts a new one. */
const underWay = [];

function record(label) {
  const parent = underWay.at(-1) ?? null;
  const key = parent === null ? label : `${parent.key} > ${label}`;
  let entry = timed.get(key);
  if (entry === undefined) {
    entry = { key, label, depth: underWay.length, calls: 0, durations: new Float64Array(samplesKept) };
    timed.set(key, entry);
  }
  return entry;
}

/** The same function with a clock; an async one is timed until it first waits. */
function withClock(label, call) {
  return function clocked(...words) {
    const entry = record(label);
    const frame = { key: entry.key, inside: 0 };
    underWay.push(frame);
    const from = performance.now();
    try {
      return Reflect.apply(call, this, words);
    } finally {
      const took = performance.now() - from;
      underWay.pop();
      // Clocks inside cost time themselves; it is taken off.
      entry.durations[entry.calls++ % samplesKept] = took - frame.inside * overhead.around - overhead.within;
      const parent = underWay.at(-1);
      if (parent !== undefined) parent.inside += 1 + frame.inside;
    }
  };
}

/** What a clock costs the function that it measures, and the one around it; ms. */
const overhead = { within: 0, around: 0 };

function middle(values) {
  return values.toSorted((left, right) => left - right)[Math.floor(values.length / 2)];
}

function calibrate() {
  const empty = withClock('calibration', () => undefined);
  for (let warm = 0; warm < 50_000; warm++) empty();
  const around = Array.from({ length: 101 }, () => {
    const from = performance.now();
    for (let each = 0; each < 200; each++) empty();
    return (performance.now() - from) / 200;
  });
  const { durations, calls } = timed.get('calibration');
  overhead.within = middle(durations.subarray(0, Math.min(calls, samplesKept)));
  overhead.around = middle(around);
  timed.clear();
}

/** Names of the functions that an object or its class has. */
function methodsOf(object) {
  if (typeof object !== 'object' || object === null) return [];
  const prototype = Object.getPrototypeOf(object);
  const names = [
    ...Object.keys(object),
    ...(prototype === Object.prototype ? [] : Object.getOwnPropertyNames(prototype)),
  ];
  return names.filter((name) => name !== 'constructor' && typeof object[name] === 'function');
}

/** What stands in for an import: functions get a clock, all else stays. */
export function standIn(name, value) {
  if (typeof value !== 'function' || /^class\b/.test(Function.prototype.toString.call(value))) return value;
  if (!factories.test(name)) return withClock(name, value);
  return (...words) => {
    const made = value(...words);
    const addClocks = (object) => {
      for (const method of methodsOf(object))
        object[method] = withClock(`${name.slice('create'.length)}.${method}`, object[method].bind(object));
      return object;
    };
    return made instanceof Promise ? made.then(addClocks) : addClocks(made);
  };
}

/** Names that a module imports from another one. */
function importedNames(importer, specifier) {
  const source = readFileSync(new URL(importer), 'utf8');
  const escaped = specifier.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const names = new Set();
  for (const [, list] of source.matchAll(
    new RegExp(`import\\s*{([^}]*)}\\s*from\\s*['"]${escaped}['"]`, 'g'),
  ))
    for (const one of list.split(',')) {
      const name = one.trim().split(/\s+as\s+/)[0];
      if (name !== '' && !name.startsWith('type ')) names.add(name);
    }
  return [...names];
}

registerHooks({
  resolve(specifier, context, next) {
    const resolved = next(specifier, context);
    const importer = context.parentURL?.split('?')[0];
    if (importer === undefined || !importers.test(importer) || !specifier.startsWith('.')) return resolved;
    const names = importedNames(importer, specifier);
    if (names.length === 0) return resolved;
    return { ...resolved, url: `${resolved.url}?clock=${names.join(',')}` };
  },
  load(url, context, next) {
    const [target, query] = url.split('?clock=');
    if (query === undefined) return next(url, context);
    const lines = query.split(',').map((name) => `export const ${name} = standIn('${name}', real.${name});`);
    const source = `import * as real from '${target}';\nimport { standIn } from '${import.meta.url}';\n${lines.join('\n')}`;
    return { format: 'module', source, shortCircuit: true };
  },
});
calibrate();

/** For the contestant's process: forgets what was timed so far, and tells what was timed since. */
globalThis.sallyportStageClock = {
  forget: () => timed.clear(),
  tell: () =>
    [...timed.values()].map(({ key, label, depth, calls, durations }) => {
      const kept = durations.subarray(0, Math.min(calls, samplesKept)).toSorted();
      const nanoseconds = (quantile) => kept[Math.floor((kept.length - 1) * quantile)] * 1e6;
      return {
        key,
        label,
        depth,
        calls,
        min: nanoseconds(0),
        low: nanoseconds(0.1),
        median: nanoseconds(0.5),
      };
    }),
};
