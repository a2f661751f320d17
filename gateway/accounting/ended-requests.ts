// Counts and histograms of ended requests. They are kept in plain numbers and turned into Prometheus series when somebody
// asks: prom-client sorts and joins the labels anew on every count, which cost 1.5 µs a request.
import type { Counter, Registry } from 'prom-client';

/** What is counted when a request has ended. */
export interface EndedRequest {
  /** A route's name, or `none`. */
  readonly route: string;
  /** A configured model, or `none`. */
  readonly model: string;
  readonly code: string;
  readonly refused: boolean;
  /** Null for requests that reached no route. */
  readonly durationSeconds: number | null;
  readonly firstByteSeconds: number | null;
  readonly promptTokens: number;
  readonly completionTokens: number;
}

// semantic-conventions-genai's buckets for durations of model requests: 0.01 × 2ⁿ seconds.
const durationBuckets = Array.from({ length: 14 }, (_, exponent) => 0.01 * 2 ** exponent);
/** Upper bounds of the durations' buckets, seconds. */
export const buckets: readonly number[] = [0.001, 0.0025, 0.005, ...durationBuckets];

/** Durations of one route. */
class Durations {
  readonly counts = new Float64Array(buckets.length + 1);
  sum = 0;

  observe(seconds: number): void {
    let bucket = 0;
    while (bucket < buckets.length && seconds > (buckets[bucket] ?? 0)) bucket++;
    this.counts[bucket] = (this.counts[bucket] ?? 0) + 1;
    this.sum += seconds;
  }
}

/** Requests that ended alike: route, model and outcome code; and what each of the three is counted in besides. */
interface Tally {
  readonly route: string;
  readonly model: string;
  readonly code: string;
  count: number;
  refused: number;
  promptTokens: number;
  completionTokens: number;
  readonly duration: Durations;
  readonly firstByte: Durations;
}

interface RouteDurations {
  readonly duration: Durations;
  readonly firstByte: Durations;
}

/** One value of a series, in prom-client's form. */
interface Value {
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
  readonly metricName?: string;
}

/** Counts ended requests; its labels are closed sets, so what it keeps is bounded. */
export class EndedRequests {
  readonly #tallies = new Map<string, Tally>();
  readonly #routes = new Map<string, RouteDurations>();
  #last: Tally | null = null;

  /** Adds the series to a registry. */
  constructor(registry: Registry) {
    this.#register(registry, 'counter', {
      name: 'sallyport_requests_total',
      help: 'Requests that have ended, by route, model and outcome code (ok, a code of the error catalogue, http_<status>, caller_gone).',
      values: () =>
        [...this.#tallies.values()].map(({ route, model, code, count }) => ({
          labels: { route, model, code },
          value: count,
        })),
    });
    this.#register(registry, 'counter', {
      name: 'sallyport_refusals_total',
      help: 'Requests that the gateway refused, by code of the error catalogue.',
      values: () =>
        summed(
          [...this.#tallies.values()].map(({ code, refused }) => ({ labels: { code }, value: refused })),
        ),
    });
    this.#register(registry, 'histogram', {
      name: 'sallyport_request_duration_seconds',
      help: 'From the head of the request to the end of the answer.',
      values: (name) => this.#histogram(name, 'duration'),
    });
    this.#register(registry, 'histogram', {
      name: 'sallyport_time_to_first_byte_seconds',
      help: 'From the head of the request to the first byte of the body of the answer.',
      values: (name) => this.#histogram(name, 'firstByte'),
    });
    this.#register(registry, 'counter', {
      name: 'sallyport_model_tokens_total',
      help: 'Model tokens as the model server counted them, by model and type (prompt, completion).',
      values: () =>
        summed(
          [...this.#tallies.values()].flatMap(({ model, promptTokens, completionTokens }) => [
            { labels: { model, type: 'prompt' }, value: promptTokens },
            { labels: { model, type: 'completion' }, value: completionTokens },
          ]),
        ),
    });
  }

  /** Counts one request. */
  count(ended: EndedRequest): void {
    const tally = this.#tallyOf(ended);
    tally.count++;
    if (ended.refused) tally.refused++;
    tally.promptTokens += ended.promptTokens;
    tally.completionTokens += ended.completionTokens;
    if (ended.durationSeconds !== null) tally.duration.observe(ended.durationSeconds);
    if (ended.firstByteSeconds !== null) tally.firstByte.observe(ended.firstByteSeconds);
  }

  #tallyOf({ route, model, code }: EndedRequest): Tally {
    const last = this.#last;
    if (last !== null && last.route === route && last.model === model && last.code === code) return last;
    // None of the three holds a line break.
    const key = `${route}\n${model}\n${code}`;
    let tally = this.#tallies.get(key);
    if (tally === undefined) {
      const durations = this.#routes.get(route) ?? { duration: new Durations(), firstByte: new Durations() };
      this.#routes.set(route, durations);
      tally = {
        ...{ route, model, code, ...durations },
        ...{ count: 0, refused: 0, promptTokens: 0, completionTokens: 0 },
      };
      this.#tallies.set(key, tally);
    }
    this.#last = tally;
    return tally;
  }

  #histogram(name: string, which: keyof RouteDurations): Value[] {
    return [...this.#routes].flatMap(([route, durations]) => {
      const { counts, sum } = durations[which];
      const total = counts.reduce((all, each) => all + each, 0);
      if (total === 0) return [];
      let below = 0;
      const bounds: Value[] = [...buckets, '+Inf'].map((le, index) => {
        below += counts[index] ?? 0;
        return { labels: { le, route }, value: below, metricName: `${name}_bucket` };
      });
      return [
        ...bounds,
        { labels: { route }, value: sum, metricName: `${name}_sum` },
        { labels: { route }, value: total, metricName: `${name}_count` },
      ];
    });
  }

  #register(
    registry: Registry,
    type: 'counter' | 'histogram',
    series: { name: string; help: string; values: (name: string) => Value[] },
  ): void {
    const { name, help, values } = series;
    const get = (): Promise<object> =>
      Promise.resolve({ name, help, type, values: values(name), aggregator: 'sum' });
    // prom-client's registry, and the sum over workers, ask nothing of a metric but these.
    registry.registerMetric({ name, get } as unknown as Counter);
  }
}

/** One value for each set of labels, and none that is zero. */
function summed(values: readonly Value[]): Value[] {
  const sums = new Map<string, Value>();
  for (const { labels, value } of values) {
    const key = Object.values(labels).join('\n');
    sums.set(key, { labels, value: (sums.get(key)?.value ?? 0) + value });
  }
  return [...sums.values()].filter(({ value }) => value > 0);
}
