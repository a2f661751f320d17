// The bench's tables, from its samples.
import { judge } from './goals.mjs';
import { median } from './streams.mjs';

const columns = [
  ['tokens/s', 'tokensPerSecond', 0],
  ['CPU s/1,000', 'cpuPerThousand', 2],
  ['gap p50 ms', 'gapP50Ms', 1],
  ['gap p99 ms', 'gapP99Ms', 0],
  ['first text p50 ms', 'firstTextP50Ms', 0],
  ['fairness', 'fairness', 2],
  ['memory MiB', 'memoryMiB', 0],
];

/** Markdown: a table per scenario with medians (and min–max of the first two columns), then the goals. */
export function reportOf(samples) {
  const lines = [];
  for (const scenario of new Set(samples.map((sample) => sample.scenario))) {
    const own = samples.filter((sample) => sample.scenario === scenario);
    const used = columns.filter(([, member]) => own.some((sample) => sample[member] != null));
    lines.push(`\n### ${scenario}\n`);
    lines.push(`| contestant | streams | rounds | ${used.map(([title]) => title).join(' | ')} |`);
    lines.push(`|---|---|---|${used.map(() => '---').join('|')}|`);
    const keys = new Set(own.map(({ streams, contestant }) => JSON.stringify([streams, contestant])));
    for (const key of keys) {
      const [streams, contestant] = JSON.parse(key);
      const rows = own.filter((sample) => sample.streams === streams && sample.contestant === contestant);
      const cells = used.map(([, member, digits]) => {
        const figures = rows.map((row) => row[member]).filter((figure) => figure != null);
        return figures.length === 0
          ? ''
          : withSpread(figures, digits, digits === 2 || member === 'tokensPerSecond');
      });
      lines.push(`| ${contestant} | ${streams} | ${rows.length} | ${cells.join(' | ')} |`);
    }
  }
  lines.push('\n### Ratios within a round\n');
  lines.push('| ratio | median (min–max) | promised / aimed at | |', '|---|---|---|---|');
  for (const { name, ratios, bounds, verdict } of judge(samples)) {
    const sign = bounds?.sign === '>=' ? '≥' : '≤';
    const wanted = bounds === null ? '' : `${sign} ${bounds.commit} / ${sign} ${bounds.stretch}`;
    lines.push(`| ${name} | ${withSpread(ratios, 2, true)} | ${wanted} | ${verdict} |`);
  }
  return lines.join('\n');
}

function withSpread(figures, digits, showsSpread) {
  const text = median(figures).toFixed(digits);
  if (!showsSpread || figures.length === 1) return text;
  return `${text} (${Math.min(...figures).toFixed(digits)}–${Math.max(...figures).toFixed(digits)})`;
}
