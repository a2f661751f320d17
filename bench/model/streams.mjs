// What one run of several streams is boiled down to.

/** Value below which `share` of the values lie; null of none. */
export function quantile(values, share) {
  const sorted = [...values].sort((left, right) => left - right);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? null;
}

/** Of an even number the mean of the two in the middle: two rounds have no better one. */
export function median(values) {
  const sorted = [...values].sort((left, right) => left - right);
  const middle = (sorted.length - 1) / 2;
  return (sorted[Math.floor(middle)] + sorted[Math.ceil(middle)]) / 2;
}

/**
 * One row of the table. A stream is `{ startedAt, texts: [times], endedAt, completionTokens, promptTokens }`, in ms.
 * tokens/s counts generated tokens over the whole time, prompts included; fairness is the slowest stream's rate over
 * the fastest's; `usage` is what the server's processes spent.
 */
export function summarise(streams, usage = null) {
  const completionTokens = sum(streams.map((stream) => stream.completionTokens));
  const seconds =
    (Math.max(...streams.map((stream) => stream.endedAt)) -
      Math.min(...streams.map((stream) => stream.startedAt))) /
    1000;
  const gaps = streams.flatMap(({ texts }) => texts.slice(1).map((at, index) => at - texts[index]));
  const firstTexts = streams.flatMap(({ texts, startedAt }) =>
    texts.length > 0 ? [texts[0] - startedAt] : [],
  );
  const rates = streams.map((stream) => stream.completionTokens / (stream.endedAt - stream.startedAt));
  return {
    streams: streams.length,
    promptTokens: sum(streams.map((stream) => stream.promptTokens)),
    completionTokens,
    tokensPerSecond: completionTokens / seconds,
    cpuPerThousand: usage === null ? null : (usage.cpuSeconds / completionTokens) * 1000,
    gapP50Ms: quantile(gaps, 0.5),
    gapP99Ms: quantile(gaps, 0.99),
    firstTextP50Ms: quantile(firstTexts, 0.5),
    fairness: Math.min(...rates) / Math.max(...rates),
    memoryMiB: usage === null ? null : usage.memoryBytes / 1_048_576,
  };
}

function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}
