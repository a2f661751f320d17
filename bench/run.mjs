// `npm run bench`: what the gateway costs beside its peers. Every part is a process of its own; rounds are interleaved.
// docs/performance.md says how to read the table; `npm run bench -- --help` lists the rest.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { accessTokens, badAccessTokens, claims, signingKey } from './harness/access-tokens.mjs';
import { startContestants } from './harness/contestants.mjs';
import { checkGuard } from './harness/guard-check.mjs';
import { helpPage, otherBenches, readOptions, UsageError } from './harness/options.mjs';
import { heightOf, plotOf, renderPng } from './harness/plot.mjs';
import { canReadProcesses, cores, endAll, startNodePart } from './harness/processes.mjs';
import { markdownTable, notesOf, summarise, tablesOf, terminalTable } from './harness/report.mjs';
import { body, requestRounds, streamRounds, warm } from './harness/rounds.mjs';
import { howToInstall } from './contestants/portkey.mjs';

const knownTokens = 100;
const say = (line) => process.stdout.write(`${line}\n`);
const tell = (line) => process.stderr.write(`${line}\n`);

async function main(words) {
  const only = words.indexOf('--only');
  if (only !== -1) return startOther(words[only + 1], words.toSpliced(only, 2));
  const options = readOptions(words);
  if (options.isHelp) return say(helpPage());
  if (options.asksForPortkey) return say(`Portkey joins with:  ${howToInstall}`);
  if (!canReadProcesses) throw new Error('this bench reads /proc: it runs on Linux');
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-bench-'));
  try {
    if (options.isStage) {
      const { benchStages } = await import('./harness/stage.mjs');
      report(await benchStages(options, { folder, prepare, tell }), { options, file: 'stage.md' });
    } else if (options.profile !== null) {
      const { profileGateway } = await import('./harness/profile.mjs');
      report(await profileGateway(options, { folder, prepare, tell }), { options, file: 'profile.md' });
    } else await benchPeers(options, folder);
  } finally {
    endAll();
    rmSync(folder, { recursive: true, force: true });
  }
}

function startOther(name, words) {
  const bench = otherBenches().find((one) => one.name === name);
  if (bench === undefined)
    throw new UsageError(
      `there is no bench ${name ?? ''}; there are: ${otherBenches()
        .map((one) => one.name)
        .join(', ')}`,
    );
  process.exitCode = spawnSync(process.execPath, [bench.file, ...words], { stdio: 'inherit' }).status ?? 1;
}

/** The load with its upstream, keys and tokens: what every kind of run needs. */
async function prepare(folder, { freshTokens }) {
  const key = await signingKey();
  const load = await startNodePart('load.mjs', { jwks: key.jwks }, { core: cores?.load ?? null });
  const signing = { privateKey: key.privateKey, issuer: load.issuer };
  const known = await accessTokens(knownTokens, signing);
  const fresh = await accessTokens(freshTokens, signing);
  await load.ask({ keep: { pool: 'known', tokens: known } }, 'keep');
  await load.ask({ keep: { pool: 'fresh', tokens: fresh } }, 'keep');
  const bad = await badAccessTokens({ ...signing, pem: key.pem });
  return {
    load,
    guard: { body, valid: known[0], bad },
    context: {
      folder,
      core: cores?.contestant ?? null,
      upstreamPort: load.port,
      issuer: load.issuer,
      audience: claims.audience,
      role: claims.role,
      pem: key.pem,
      jwks: key.jwks,
    },
  };
}

async function benchPeers(options, folder) {
  const { plan } = options;
  const machine = {
    node: process.version,
    processor: cpus()[0]?.model.trim() ?? 'unknown processor',
    cores: availableParallelism(),
    pinned: cores !== null,
    load: loadavg()[0],
  };
  const wantsFresh =
    plan.freshTokens > 0 &&
    (options.names === null || options.names.includes('gateway') || options.before !== null);
  const freshPerRound = wantsFresh ? Math.floor(plan.freshTokens / plan.rounds) : 0;
  const freshTokens = wantsFresh ? plan.freshWarm + freshPerRound * plan.rounds : 0;
  tell(`signing ${knownTokens + freshTokens} access tokens`);
  const { load, guard, context } = await prepare(folder, { freshTokens });
  const before = options.before === null ? null : resolve(options.before);
  const { started, skipped } = await startContestants({ ...options, before, freshTokens }, context);
  for (const contestant of started) await checkGuard(contestant, guard);
  tell(
    `guards checked: ${started.map(({ name, guards }) => (guards ? name : `${name} (has none)`)).join(', ')}`,
  );
  for (const contestant of started) contestant.warmed = await warm(contestant, load, plan);
  const rows = await requestRounds(started, load, {
    plan,
    freshPerRound,
    onRound: (round) => tell(`round ${round + 1} of ${plan.rounds}`),
  });
  const streams = new Map();
  if (options.hasStreams) {
    const streaming = started.filter((contestant) => contestant.streams);
    for (const callers of options.isShort ? [100] : [100, 200])
      streams.set(
        callers,
        await streamRounds(streaming, load, {
          plan,
          callers,
          onRound: (round) => tell(`${callers} streams, round ${round + 1} of ${plan.streamRounds}`),
        }),
      );
  }
  const summary = summarise({ rows, streams, skipped, machine, plan, hits: hitsOf(started, rows) });
  for (const table of tablesOf(summary)) say(terminalTable(table));
  say('');
  for (const note of notesOf(summary)) say(note);
  const isWhole = !options.isShort && options.names === null && before === null && options.hasStreams;
  const out = options.out ?? (isWhole ? fileURLToPath(new URL('results', import.meta.url)) : null);
  if (out !== null) write(summary, resolve(out));
}

/** Prints tables, and writes them where `--out` says. */
function report(tables, { options, file }) {
  for (const table of tables) say(terminalTable(table));
  if (options.out === null) return;
  mkdirSync(options.out, { recursive: true });
  writeFileSync(join(options.out, file), tables.map(markdownTable).join('\n'));
}

/** How often a cache could answer: each of the known tokens was new once, before the rounds. */
function hitsOf(started, rows) {
  return started
    .filter(({ caches, name }) => caches === true && rows.has(name))
    .map(({ name, warmed }) => {
      const counted = rows.get(name).reduce((sum, { requests }) => sum + requests, warmed);
      const fresh = rows.get(`${name}, every token new`) ?? [];
      return {
        name,
        known: knownTokens,
        requests: counted,
        fresh: fresh.reduce((sum, { requests }) => sum + requests, 0),
      };
    });
}

function write(summary, out) {
  mkdirSync(out, { recursive: true });
  const svg = plotOf(summary);
  writeFileSync(join(out, 'latest.json'), `${JSON.stringify(summary, null, 2)}\n`);
  writeFileSync(
    join(out, 'latest.md'),
    `# The last whole run of \`npm run bench\`\n\n${notesOf(summary).join('\n\n')}\n\n![CPU per request and per chunk](latest.svg)\n\n${tablesOf(summary).map(markdownTable).join('\n')}`,
  );
  writeFileSync(join(out, 'latest.svg'), svg);
  const png = join(out, 'latest.png');
  rmSync(png, { force: true });
  const hasPng = renderPng(join(out, 'latest.svg'), png, { height: heightOf(svg) });
  say(`\nresults: ${out}${hasPng ? '' : ' (no PNG: Chromium is not installed)'}`);
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  tell(
    error instanceof UsageError
      ? `bench: ${error.message}; --help lists what there is`
      : `bench: ${error.stack}`,
  );
  process.exitCode = 1;
}
