// The project's goals for the model server, as ratios within a round. `commit` is promised, `stretch` is aimed at.
import { median } from './streams.mjs';

const atLeast = (commit, stretch = commit) => ({ commit, stretch, isAtLeast: true });
const atMost = (commit, stretch = commit) => ({ commit, stretch, isAtLeast: false });

/** `[name, samples' member, contestant and streams, divided by contestant and streams, bounds]` of one scenario. */
const list = [
  ['streams', '8 streams, tokens/s, to llama-server', 'tokensPerSecond', 'ours 8', 'llama-server 8', atLeast(0.9, 0.97)],
  ['streams', '8 streams, CPU per token, to llama-server', 'cpuPerThousand', 'ours 8', 'llama-server 8', atMost(1.12, 1.03)],
  ['streams', '32 streams, tokens/s, to llama-server', 'tokensPerSecond', 'ours 32', 'llama-server 32', atLeast(0.95, 1)],
  ['streams', '32 streams, CPU per token, to llama-server', 'cpuPerThousand', 'ours 32', 'llama-server 32', atMost(1.08, 1)],
  ['streams', '8 streams, tokens/s, to default batching', 'tokensPerSecond', 'ours 8', 'node default 8', atLeast(1.9, 2.1)],
  ['streams', '8 streams, CPU per token of default batching, to ours', 'cpuPerThousand', 'node default 8', 'ours 8', atLeast(1.9, 2.1)],
  ['streams', '32 streams, tokens/s, to default batching', 'tokensPerSecond', 'ours 32', 'node default 32', atLeast(2.4, 2.7)],
  ['streams', '32 streams, CPU per token of default batching, to ours', 'cpuPerThousand', 'node default 32', 'ours 32', atLeast(2.4, 2.7)],
  ['streams', '8 streams, tokens/s, to one stream', 'tokensPerSecond', 'ours 8', 'ours 1', atLeast(2.4, 2.6)],
  ['streams', 'CPU per token of one stream, to 8', 'cpuPerThousand', 'ours 1', 'ours 8', atLeast(2.4, 2.6)],
  ['streams', '32 streams, tokens/s, to one stream', 'tokensPerSecond', 'ours 32', 'ours 1', atLeast(3.6, 4)],
  ['streams', 'CPU per token of one stream, to 32', 'cpuPerThousand', 'ours 1', 'ours 32', atLeast(3.6, 4)],
  ['streams', '8 streams, tokens/s, gateway + ours, to ours alone', 'tokensPerSecond', 'gateway + ours 8', 'ours 8', atLeast(0.97, 0.99)],
  ['streams', '32 streams, tokens/s, gateway + ours, to ours alone', 'tokensPerSecond', 'gateway + ours 32', 'ours 32', atLeast(0.97, 0.99)],
  ['streams', '32 streams, CPU per token, gateway + ours, to ours alone', 'cpuPerThousand', 'gateway + ours 32', 'ours 32', atMost(1.03, 1.01)],
  ['streams', '1 stream, tokens/s, gateway + ours, to in process', 'tokensPerSecond', 'gateway + ours 1', 'in process 1', atLeast(0.97)],
  ['streams', '1 stream, CPU per token, gateway + ours, to in process', 'cpuPerThousand', 'gateway + ours 1', 'in process 1', atMost(1.03)],
  ['streams', 'slowest to fastest of 32 streams', 'fairness', 'ours 32', null, atLeast(0.9, 0.94)],
  ['processes', '32 streams, tokens/s, two processes, to one', 'tokensPerSecond', 'ours, two processes 32', 'ours 32', atLeast(1.7)],
  ['joining', 'long prompts join: gap p99, to llama-server', 'gapP99Ms', 'ours 16', 'llama-server 16', atMost(0.9, 0.35)],
  ['joining', 'long prompts join: CPU per token, to llama-server', 'cpuPerThousand', 'ours 16', 'llama-server 16', null],
  ['prefix', 'first text with a prefix read before, to without', 'firstTextP50Ms', 'ours, again 1', 'ours, first 1', null],
  ['trained', 'trained model, 8 streams, tokens/s, to llama-server', 'tokensPerSecond', 'ours 8', 'llama-server 8', atLeast(0.75, 0.9)],
  ['cold', 'cold start to the first text of the trained model, seconds', 'firstTextP50Ms', 'ours 1', 1000, atMost(1.5)],
];

/** Each goal for which there are samples: `{ scenario, name, ratios, median, bounds, verdict }`. */
export function judge(samples) {
  return list.flatMap(([scenario, name, member, over, under, bounds]) => {
    const rounds = [...new Set(samples.filter((sample) => sample.scenario === scenario).map(({ round }) => round))];
    const ratios = rounds.flatMap((round) => {
      const figure = (key) => {
        if (key === null) return 1;
        if (typeof key === 'number') return key;
        const sample = samples.find(
          (one) => one.scenario === scenario && one.round === round && `${one.contestant} ${one.streams}` === key,
        );
        return sample?.[member] ?? undefined;
      };
      const ratio = figure(over) / figure(under);
      return Number.isFinite(ratio) ? [ratio] : [];
    });
    if (ratios.length === 0) return [];
    const middle = median(ratios);
    return [{ scenario, name, ratios, median: middle, bounds, verdict: verdictOf(middle, bounds) }];
  });
}

function verdictOf(ratio, bounds) {
  if (bounds === null) return '';
  const reaches = (bound) => (bounds.isAtLeast ? ratio >= bound : ratio <= bound);
  if (reaches(bounds.stretch)) return bounds.stretch === bounds.commit ? 'met' : 'met, stretch too';
  return reaches(bounds.commit) ? 'met' : 'MISSED';
}
