// Who takes part, in the order of the table, and how each is started on the contestant's core.
import * as haproxy from '../contestants/haproxy.mjs';
import * as nginx from '../contestants/nginx.mjs';
import * as portkey from '../contestants/portkey.mjs';
import { asGateway, startNodePart } from './processes.mjs';

/** A Node part of contestants/; `process` says how its process is started. */
const node =
  (file, process = {}) =>
  ({ core, pem: _, folder: __, ...options }) =>
    startNodePart(`contestants/${file}.mjs`, options, { core, ...process });

/** This gateway; with `everyTokenNew` a process of its own, because what it keeps would weigh on the other's figures. */
const gateway = (name, more = {}) => ({
  name,
  guards: true,
  guardsRequests: true,
  caches: true,
  everyTokenNew: false,
  warmRequests: 30_000,
  launch: node('gateway', asGateway),
  streams: true,
  ...more,
});
const everyTokenNew = { everyTokenNew: true, caches: false, streams: false };

/**
 * `guards`: whether it checks access tokens, and `guardsRequests` what they ask for; both are tried before it is timed.
 * `caches`: whether a token that was seen before costs less. `warmRequests`: served before anything is timed, so that all
 * of it is compiled.
 */
const all = [
  { name: 'direct', guards: false, warmRequests: 20_000, launch: node('mock-upstream'), streams: true },
  { name: 'nginx', guards: false, warmRequests: 5_000, ...nginx, streams: true },
  { name: 'pass-through', guards: false, warmRequests: 30_000, launch: node('pass-through'), streams: true },
  { name: 'haproxy', guards: true, warmRequests: 5_000, ...haproxy, streams: true },
  { name: 'obvious', guards: true, warmRequests: 10_000, launch: node('obvious'), streams: true },
  // Streams through Portkey are left out: each ends in an error of its own on a custom host.
  { name: 'portkey', guards: false, warmRequests: 1_500, ...portkey, streams: false },
  gateway('gateway before', { isBefore: true }),
  gateway('gateway before, every token new', { isBefore: true, ...everyTokenNew }),
  gateway('gateway'),
  gateway('gateway, every token new', everyTokenNew),
];

/** Names for --contestants; `gateway` brings its row with new tokens along. */
export const contestantNames = all
  .filter((contestant) => contestant.isBefore !== true && contestant.everyTokenNew !== true)
  .map(({ name }) => name);

/** Whether a contestant was asked for. */
function isAsked({ name, isBefore, everyTokenNew: isFresh }, { names, before, freshTokens }) {
  if (isFresh === true && freshTokens === 0) return false;
  if (isBefore === true) return before !== null;
  return names === null || names.includes(name.replace(', every token new', ''));
}

/** How a peer that is missing may join. */
const missing = {
  haproxy: 'not installed, skipped (Debian: apt install haproxy)',
  nginx: 'not installed, skipped (Debian: apt install nginx-light)',
  portkey: `not installed, skipped (${portkey.howToInstall})`,
};

/**
 * Starts all that were asked for and are installed; a missing peer becomes a line for `skipped`.
 * `asked` holds names, before, isSource and freshTokens (0: no rows with new tokens);
 * `context` holds upstreamPort, issuer, audience, role, pem, jwks, folder and core.
 */
export async function startContestants(asked, context) {
  const started = [];
  const skipped = [];
  for (const contestant of all) {
    if (!isAsked(contestant, asked)) continue;
    const { name } = contestant;
    if (contestant.isHere?.() === false) {
      skipped.push(`${name}: ${missing[name]}`);
      continue;
    }
    const options = contestant.isBefore === true ? { root: asked.before } : { isSource: asked.isSource };
    started.push({ ...contestant, part: await contestant.launch({ ...context, ...options }) });
  }
  return { started, skipped };
}
