// The plot of a run as SVG text: bars of CPU per request with their spread, and of CPU per chunk beside them. A PNG of it
// is made where Chromium is installed.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

const width = 900;
const labelWidth = 212;
const barHeight = 24;
const gap = 10;
const ink = '#1f2328';
const faint = '#d8dee4';
const colours = { ours: '#0b6bcb', guarding: '#8a63d2', open: '#9aa4af' };

const escape = (text) =>
  String(text)
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
const text = (x, y, content, more = '') => `<text x="${x}" y="${y}" ${more}>${escape(content)}</text>`;

/** A round step for about five lines of a scale. */
function stepOf(most) {
  const rough = most / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= rough);
}

/** One chart of horizontal bars; a bar that would dwarf the others is cut and says so. */
function chart({ title, bars, y }) {
  const medians = bars.map(({ cpu }) => cpu.median).toSorted((left, right) => left - right);
  const longest = Math.max(...bars.map(({ cpu }) => cpu.max));
  // A bar may be at most 1.7 times as long as the next; whiskers end with the scale.
  const most = Math.min(longest, (medians.at(-2) ?? longest) * 1.7) * 1.04;
  const plotWidth = width - labelWidth - 130;
  const scale = (value) => (Math.min(value, most) / most) * plotWidth;
  const step = stepOf(most);
  const top = y + 34;
  const bottom = top + bars.length * (barHeight + gap);
  const parts = [text(16, y + 16, title, 'font-size="16" font-weight="600"')];
  for (let value = 0; value <= most; value += step) {
    const x = labelWidth + scale(value);
    parts.push(`<line x1="${x}" y1="${top - 4}" x2="${x}" y2="${bottom - gap + 4}" stroke="${faint}"/>`);
    parts.push(text(x, bottom + 8, value, 'text-anchor="middle" font-size="11"'));
  }
  bars.forEach(({ name, cpu, kind }, index) => {
    const barTop = top + index * (barHeight + gap);
    const middle = barTop + barHeight / 2;
    const isCut = cpu.median > most;
    parts.push(
      text(
        labelWidth - 10,
        middle + 4,
        name,
        `text-anchor="end"${kind === 'ours' ? ' font-weight="600"' : ''}`,
      ),
      `<rect x="${labelWidth}" y="${barTop}" width="${scale(cpu.median).toFixed(1)}" height="${barHeight}" rx="2" fill="${colours[kind]}"${name.includes('new') ? ' fill-opacity="0.55"' : ''}/>`,
    );
    if (!isCut && cpu.max > cpu.min) {
      const [from, to] = [labelWidth + scale(cpu.min), labelWidth + scale(cpu.max)].map((x) => x.toFixed(1));
      parts.push(
        `<path d="M${from} ${middle}H${to}M${from} ${middle - 5}V${middle + 5}M${to} ${middle - 5}V${middle + 5}" stroke="${ink}" fill="none"/>`,
      );
    }
    const end = labelWidth + scale(isCut ? cpu.median : cpu.max) + 8;
    parts.push(text(end, middle + 4, `${cpu.median.toFixed(1)}${isCut ? ` (bar cut)` : ''}`));
  });
  return { svg: parts.join('\n'), bottom: bottom + 18 };
}

const unguarded = new Set(['direct', 'nginx', 'pass-through', 'portkey']);
const kindOf = (name) => (name.startsWith('gateway') ? 'ours' : unguarded.has(name) ? 'open' : 'guarding');

/** From top to bottom. */
const order = ['ours', 'guarding', 'open'];

/** The whole plot of a summary. */
export function plotOf({ requests, streams, machine, plan }) {
  const bars = (rows) =>
    rows
      .filter(({ name }) => name !== 'direct')
      .map(({ name, cpu }) => ({ name, cpu, kind: kindOf(name) }))
      .toSorted((left, right) => order.indexOf(left.kind) - order.indexOf(right.kind));
  const charts = [];
  let y = 56;
  const add = (options) => {
    if (options.bars.length === 0) return;
    const { svg, bottom } = chart({ ...options, y });
    charts.push(svg);
    y = bottom + 24;
  };
  add({ title: 'CPU per request, µs', bars: bars(requests) });
  for (const { callers, contestants } of streams)
    add({ title: `CPU per streamed chunk, µs, ${callers} streams`, bars: bars(contestants) });
  const legend = [
    [16, 'ours', 'Sallyport: token, role, rules, limits, guards, audit, metrics'],
    [400, 'guarding', 'token, role and rate limit'],
    [610, 'open', 'no check at all'],
  ]
    .map(
      ([x, kind, meaning]) =>
        `<rect x="${x}" y="32" width="12" height="12" rx="2" fill="${colours[kind]}"/>${text(x + 18, 42, meaning, 'font-size="12"')}`,
    )
    .join('\n');
  const foot = `Median of ${plan.rounds} interleaved rounds, whisker: least and greatest. One process on one core; Node ${machine.node}, ${machine.processor}.`;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${y + 8}" viewBox="0 0 ${width} ${y + 8}" font-family="system-ui, 'Liberation Sans', Helvetica, Arial, sans-serif" font-size="13" fill="${ink}">
<rect width="100%" height="100%" fill="#ffffff"/>
${text(16, 20, 'Less is better', 'font-size="12" fill="#59636e"')}
${legend}
${charts.join('\n')}
${text(16, y - 6, foot, 'font-size="11" fill="#59636e"')}
</svg>
`;
}

/** Makes a PNG of an SVG file with headless Chromium; false where there is none or it fails. */
export function renderPng(svgFile, pngFile, { height }) {
  const program = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(
    existsSync,
  );
  if (program === undefined) return false;
  spawnSync(
    program,
    [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--hide-scrollbars',
      '--force-device-scale-factor=2',
      `--window-size=${width},${height}`,
      `--screenshot=${pngFile}`,
      `file://${svgFile}`,
    ],
    { stdio: 'ignore', timeout: 60_000 },
  );
  return existsSync(pngFile);
}

/** Height of a plot, from its own text. */
export const heightOf = (svg) => Number(/ height="(\d+)"/.exec(svg)[1]);
