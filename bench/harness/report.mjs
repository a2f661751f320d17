// What a run says: the summary as data (latest.json), the tables for terminal and Markdown, and the goals beside it.
import { difference, median, ratio, spread } from './statistics.mjs';

/** Goals of CPU time as ratios; `commit` must be reached, `stretch` is hoped for. */
const goals = [
  { of: 'gateway', to: 'pass-through', commit: 0.9, stretch: 0.75 },
  { of: 'gateway', to: 'haproxy', commit: 1, stretch: 0.8 },
  { of: 'gateway', to: 'obvious', commit: 1 / 4, stretch: 1 / 5 },
  { of: 'gateway', to: 'portkey', commit: 1 / 25, stretch: null },
];
const streamGoal = { of: 'gateway', to: 'obvious', commit: 0.55, stretch: null };
const latencyGoal = { of: 'gateway', to: 'haproxy', commit: 1, stretch: null };

/** A run as plain data. `streams` maps numbers of callers to rounds. */
export function summarise({ rows, streams, skipped, machine, plan, hits }) {
  const direct = rows.get('direct');
  const requests = [...rows].map(([name, rounds]) => ({
    name,
    cpu: spread(rounds, 'cpu'),
    rate: spread(rounds, 'rate'),
    core: spread(rounds, 'core'),
    loadCore: median(rounds.map(({ loadCore }) => loadCore)),
    addedP50: direct === undefined ? null : difference(rounds, direct, 'p50'),
    p50: spread(rounds, 'p50'),
    memoryMiB: median(rounds.map(({ memory }) => memory)) / 1_048_576,
  }));
  const streamed = [...streams].map(([callers, chunkRows]) => ({
    callers,
    contestants: [...chunkRows].map(([name, rounds]) => ({
      name,
      cpu: spread(rounds, 'cpu'),
      addedFirstChunk: chunkRows.has('direct')
        ? difference(rounds, chunkRows.get('direct'), 'firstChunk')
        : null,
      memoryMiB: median(rounds.map(({ memory }) => memory)) / 1_048_576,
    })),
  }));
  return {
    machine,
    plan,
    hits,
    skipped,
    requests,
    streams: streamed,
    ratios: ratiosOf(rows, streams, requests),
  };
}

function ratiosOf(rows, streams, requests) {
  const found = [];
  const add = (what, { of, to, commit, stretch }, value) => {
    if (value === null) return;
    found.push({ what, of, to, value, commit, stretch });
  };
  for (const goal of goals)
    if (rows.has(goal.of) && rows.has(goal.to))
      add('CPU per request', goal, ratio(rows.get(goal.of), rows.get(goal.to)));
  if (rows.has('gateway') && rows.has('gateway before'))
    add(
      'CPU per request',
      { of: 'gateway', to: 'gateway before', commit: null, stretch: null },
      ratio(rows.get('gateway'), rows.get('gateway before')),
    );
  const fresh = 'gateway, every token new';
  for (const to of ['haproxy', 'obvious'])
    if (rows.has(fresh) && rows.has(to))
      add(
        'CPU per request',
        { of: fresh, to, commit: null, stretch: null },
        ratio(rows.get(fresh), rows.get(to)),
      );
  const addedOf = (name) => requests.find((row) => row.name === name)?.addedP50?.median ?? null;
  const [ours, theirs] = [addedOf(latencyGoal.of), addedOf(latencyGoal.to)];
  if (ours !== null && theirs !== null && theirs > 0)
    add('added p50', latencyGoal, { median: ours / theirs, min: null, max: null });
  for (const [callers, chunkRows] of streams)
    for (const goal of [streamGoal, { of: 'gateway', to: 'gateway before', commit: null, stretch: null }])
      if (chunkRows.has(goal.of) && chunkRows.has(goal.to))
        add(`CPU per chunk, ${callers} streams`, goal, ratio(chunkRows.get(goal.of), chunkRows.get(goal.to)));
  return found;
}

const fixed = (value, digits) => (value === null || value === undefined ? '–' : value.toFixed(digits));
const range = (of, digits) =>
  of === null || of.min === null ? '' : `${fixed(of.min, digits)}–${fixed(of.max, digits)}`;

/** The tables, each with a title, a header and rows of text. */
export function tablesOf(summary) {
  const { requests, streams, ratios } = summary;
  const tables = [
    {
      title: 'Requests',
      header: [
        'contestant',
        'CPU µs/request',
        'min–max',
        'requests/s',
        'core used',
        'added p50 µs',
        'PSS MiB',
      ],
      rows: requests.map(({ name, cpu, rate, core, addedP50, memoryMiB }) => [
        name,
        fixed(cpu.median, 1),
        range(cpu, 1),
        // Below 0.95 of a core, something else was the bottleneck: the figure is a lower bound.
        `${core.median < 0.95 ? '≥ ' : ''}${fixed(rate.median, 0)}`,
        fixed(core.median, 2),
        fixed(addedP50?.median, 0),
        fixed(memoryMiB, 0),
      ]),
    },
    ...streams.map(({ callers, contestants }) => ({
      title: `${callers} streams of 50 chunks, 10 ms apart`,
      header: ['contestant', 'CPU µs/chunk', 'min–max', 'added to first chunk, µs', 'PSS MiB'],
      rows: contestants.map(({ name, cpu, addedFirstChunk, memoryMiB }) => [
        name,
        fixed(cpu.median, 1),
        range(cpu, 1),
        fixed(addedFirstChunk?.median, 0),
        fixed(memoryMiB, 0),
      ]),
    })),
  ];
  if (ratios.length > 0)
    tables.push({
      title: 'Ratios, each within a round',
      header: ['ratio', 'median', 'min–max', 'goal', 'reached'],
      rows: ratios.map(({ what, of, to, value, commit, stretch }) => [
        `${of} / ${to}, ${what}`,
        fixed(value.median, 2),
        range(value, 2),
        commit === null
          ? ''
          : `≤ ${fixed(commit, 2)}${stretch === null ? '' : ` (hoped: ${fixed(stretch, 2)})`}`,
        commit === null ? '' : verdict(value.median, commit, stretch),
      ]),
    });
  return tables;
}

function verdict(value, commit, stretch) {
  if (stretch !== null && value <= stretch) return 'yes, and what was hoped for';
  return value <= commit ? 'yes' : 'no';
}

/** What must be said beside the figures. */
export function notesOf({ machine, plan, hits, skipped }) {
  const notes = [
    `Node ${machine.node} on ${machine.processor}, ${machine.cores} cores${machine.pinned ? '; contestant on core 0, load and upstream on core 1' : '; not pinned'}. ${plan.rounds} interleaved rounds of ${plan.seconds} s, medians; 32 connections, 100 access tokens (RS256, 2048 bits), 500-byte chat request, 400-byte answer.`,
    'HAProxy and the obvious stack verify the signature on every request; direct, nginx, pass-through and Portkey check no token. Every contestant that guards was tried first with a valid access token and twelve bad ones, the gateway with eight bad requests, too.',
  ];
  for (const { name, known, requests, fresh } of hits)
    notes.push(
      `${name} verifies a token once: ${((1 - known / requests) * 100).toFixed(2)} % of its requests had a token that it had verified before (${known} verifications, ${requests} requests)${fresh === 0 ? '' : `; "every token new" has 0 %: ${fresh} tokens, signed before the run, each used once`}.`,
    );
  if (machine.load > machine.cores * 0.75)
    notes.push(`The machine had other work (load average ${machine.load.toFixed(1)} at the start).`);
  return [...notes, ...skipped];
}

/** A table for the terminal. */
export function terminalTable({ title, about, header, rows }) {
  const widths = header.map((text, column) =>
    Math.max(text.length, ...rows.map((row) => row[column].length)),
  );
  const line = (cells) =>
    cells
      .map((text, column) => (column === 0 ? text.padEnd(widths[0]) : text.padStart(widths[column])))
      .join('  ');
  return [`\n${title}`, ...(about === undefined ? [] : [about]), line(header), ...rows.map(line)].join('\n');
}

/** The same for Markdown. */
export function markdownTable({ title, about, header, rows }) {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  return [
    `## ${title}\n`,
    ...(about === undefined ? [] : [`${about}\n`]),
    line(header),
    line(header.map((_, column) => (column === 0 ? '---' : '---:'))),
    ...rows.map(line),
    '',
  ].join('\n');
}
