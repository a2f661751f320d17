// The command line of `npm run bench`, and the list of everything that it can start.
import { readFileSync, readdirSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { contestantNames } from './contestants.mjs';

const folder = new URL('..', import.meta.url);
/** Parts of the main bench; every other file beside them is a bench of its own. */
const ownParts = new Set(['run.mjs', 'load.mjs']);

/** Other benches by name, with the path of their file and the first sentence of its header. */
export function otherBenches() {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.mjs') && !ownParts.has(name))
    .sort()
    .map((file) => ({
      name: file.replace(/\.mjs$/, ''),
      file: new URL(file, folder).pathname,
      title: titleOf(file),
    }));
}

function titleOf(file) {
  const lines = readFileSync(new URL(file, folder), 'utf8').split('\n');
  const header = lines.slice(
    0,
    lines.findIndex((line) => !line.startsWith('//')),
  );
  const text = header.map((line) => line.replace(/^\/\/ ?/, '')).join(' ');
  return text.split(/(?<=\.) /)[0];
}

/** A command line that cannot be understood. */
export class UsageError extends Error {}

const number = (name, text, least) => {
  const value = Number(text);
  if (!(value >= least)) throw new UsageError(`--${name} is a number of at least ${least}`);
  return value;
};

const full = {
  rounds: 7,
  seconds: 2.5,
  latencySeconds: 1.5,
  streamWarmSeconds: 4,
  streamRounds: 3,
  streamSeconds: 2,
  freshTokens: 28_000,
  /** Never-seen tokens served before the rounds: verification must be compiled, too. */
  freshWarm: 4_000,
  /** Of the requests that a contestant serves before it is measured. */
  warmShare: 1,
};
const short = {
  rounds: 3,
  seconds: 0.8,
  latencySeconds: 0.4,
  streamWarmSeconds: 0.7,
  streamRounds: 1,
  streamSeconds: 1,
  freshTokens: 2_400,
  freshWarm: 1_500,
  warmShare: 0.4,
};

/** What was asked for. @throws UsageError for what is not known */
export function readOptions(words) {
  let values;
  try {
    ({ values } = parseArgs({
      args: words,
      options: {
        help: { type: 'boolean', short: 'h' },
        short: { type: 'boolean' },
        stage: { type: 'boolean' },
        profile: { type: 'string' },
        contestants: { type: 'string' },
        before: { type: 'string' },
        rounds: { type: 'string' },
        seconds: { type: 'string' },
        warm: { type: 'string' },
        'new-tokens': { type: 'string' },
        'no-streams': { type: 'boolean' },
        'no-features': { type: 'boolean' },
        source: { type: 'boolean' },
        out: { type: 'string' },
        with: { type: 'string' },
      },
    }));
  } catch (error) {
    throw new UsageError(error.message);
  }
  const plan = values.short ? short : full;
  const names = values.contestants?.split(',') ?? null;
  for (const name of names ?? [])
    if (!contestantNames.includes(name))
      throw new UsageError(`there is no contestant ${name}; there are: ${contestantNames.join(', ')}`);
  if (values.with !== undefined && values.with !== 'portkey')
    throw new UsageError('--with knows only portkey');
  return {
    isHelp: values.help === true,
    isShort: values.short === true,
    isStage: values.stage === true,
    profile: values.profile ?? null,
    isSource: values.source === true,
    hasStreams: values['no-streams'] !== true,
    hasFeatures: values['no-features'] !== true,
    asksForPortkey: values.with === 'portkey',
    names,
    before: values.before ?? null,
    out: values.out ?? null,
    plan: {
      ...plan,
      rounds: values.rounds === undefined ? plan.rounds : number('rounds', values.rounds, 1),
      freshTokens:
        values['new-tokens'] === undefined ? plan.freshTokens : number('new-tokens', values['new-tokens'], 0),
      freshWarm: values['new-tokens'] === undefined && values.warm === undefined ? plan.freshWarm : 0,
      warmRequests: values.warm === undefined ? null : number('warm', values.warm, 0),
      seconds: values.seconds === undefined ? plan.seconds : number('seconds', values.seconds, 0.1),
    },
  };
}

/** The help page. */
export function helpPage() {
  const others = otherBenches().map(({ name, title }) => `  ${name.padEnd(16)} ${title}`);
  return `npm run bench [-- OPTIONS]          the gateway beside its peers: table, plot, bench/results/ (about 5 minutes)
npm run bench -- --only NAME [ARGUMENTS]   another bench

  --short               under a minute, rougher
  --stage               what each stage of the pipeline takes by itself, and what each feature costs
  --profile FILE        a CPU profile of the gateway (FILE.cpuprofile), and what it says by group of code
  --contestants A,B     only these: ${contestantNames.join(', ')}
  --before FOLDER       a second, built checkout beside this one, as "gateway before"
  --rounds N            interleaved rounds
  --seconds S           length of one measurement
  --warm N              requests that each contestant serves before it is measured
  --new-tokens N        access tokens for the row "every token new", signed before the run
  --no-streams          without the part on server-sent events
  --no-features         with --stage: without what each feature costs
  --source              the gateway from its sources instead of dist/
  --out FOLDER          where results go (default: bench/results after a whole run, else nowhere)
  --with portkey        says how Portkey joins: it is no dependency of this project

Other benches:
${others.join('\n')}
`;
}
