// Who takes part, in the order of the table, and how each is started on the contestant's core.
import * as haproxy from '../contestants/haproxy.mjs';
import * as nginx from '../contestants/nginx.mjs';
import * as portkey from '../contestants/portkey.mjs';
import { startNodePart } from './processes.mjs';

/** A Node part of contestants/. */
const node =
  (file, more = {}) =>
  ({ core, pem: _, folder: __, ...options }, start = {}) =>
    startNodePart(`contestants/${file}.mjs`, { ...options, ...more }, { core, ...start });

/**
 * `guards`: whether it checks access tokens, and `guardsRequests` what they ask for; both are tried before it is timed. `caches`: whether a token that was seen
 * before costs less. `warmRequests`: served before anything is timed, so that all of it is compiled.
 */
const all = [
  { name: 'direct', guards: false, warmRequests: 20_000, launch: node('mock-upstream'), streams: true },
  { name: 'nginx', guards: false, warmRequests: 5_000, ...nginx, streams: true },
  { name: 'pass-through', guards: false, warmRequests: 30_000, launch: node('pass-through'), streams: true },
  { name: 'haproxy', guards: true, warmRequests: 5_000, ...haproxy, streams: true },
  { name: 'obvious', guards: true, warmRequests: 10_000, launch: node('obvious'), streams: true },
  // Streams through Portkey are left out: each ends in an error of its own on a custom host.
  { name: 'portkey', guards: false, warmRequests: 1_500, ...portkey, streams: false },
  {
    name: 'gateway before',
    guards: true,
    guardsRequests: true,
    caches: true,
    warmRequests: 30_000,
    launch: node('gateway'),
    streams: true,
  },
  {
    name: 'gateway',
    guards: true,
    guardsRequests: true,
    caches: true,
    warmRequests: 30_000,
    launch: node('gateway'),
    streams: true,
  },
];

/** Names for --contestants. */
export const contestantNames = all.map(({ name }) => name).filter((name) => name !== 'gateway before');

/** How a peer that is missing may join. */
const missing = {
  haproxy: 'not installed, skipped (Debian: apt install haproxy)',
  nginx: 'not installed, skipped (Debian: apt install nginx-light)',
  portkey: `not installed, skipped (${portkey.howToInstall})`,
};

/**
 * Starts all that were asked for and are installed; a missing peer becomes a line for `skipped`.
 * `context` holds upstreamPort, issuer, audience, role, pem, jwks, folder and core.
 */
export async function startContestants({ names, before, isSource }, context) {
  const started = [];
  const skipped = [];
  for (const contestant of all) {
    const { name } = contestant;
    if (name === 'gateway before' ? before === null : names !== null && !names.includes(name)) continue;
    if (contestant.isHere?.() === false) {
      skipped.push(`${name}: ${missing[name]}`);
      continue;
    }
    const options =
      name === 'gateway before'
        ? { ...context, root: before }
        : name === 'gateway'
          ? { ...context, isSource }
          : context;
    started.push({ ...contestant, part: await contestant.launch(options) });
  }
  return { started, skipped };
}
