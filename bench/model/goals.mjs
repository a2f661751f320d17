// The project's goals for the model server, as ratios within a round: what is promised, and what is aimed at beyond it.
import { median } from './streams.mjs';

// scenario | what it says | figure | contestant and streams | divided by | bounds (promised, aimed at); none: for information
const table = `
streams | 8 streams, tokens/s, to llama-server                     | tokensPerSecond | ours 8            | llama-server 8  | >= 0.9 0.97
streams | 8 streams, CPU per token, to llama-server                | cpuPerThousand  | ours 8            | llama-server 8  | <= 1.12 1.03
streams | 32 streams, tokens/s, to llama-server                    | tokensPerSecond | ours 32           | llama-server 32 | >= 0.95 1
streams | 32 streams, CPU per token, to llama-server               | cpuPerThousand  | ours 32           | llama-server 32 | <= 1.08 1
streams | 8 streams, tokens/s, to default batching                 | tokensPerSecond | ours 8            | node default 8  | >= 1.9 2.1
streams | 8 streams, CPU per token: default batching, to ours      | cpuPerThousand  | node default 8    | ours 8          | >= 1.9 2.1
streams | 32 streams, tokens/s, to default batching                | tokensPerSecond | ours 32           | node default 32 | >= 2.4 2.7
streams | 32 streams, CPU per token: default batching, to ours     | cpuPerThousand  | node default 32   | ours 32         | >= 2.4 2.7
streams | 8 streams, tokens/s, to one stream                       | tokensPerSecond | ours 8            | ours 1          | >= 2.4 2.6
streams | 32 streams, tokens/s, to one stream                      | tokensPerSecond | ours 32           | ours 1          | >= 3.6 4
streams | llama-server: 8 streams, tokens/s, to one stream         | tokensPerSecond | llama-server 8    | llama-server 1  |
streams | llama-server: 32 streams, tokens/s, to one stream        | tokensPerSecond | llama-server 32   | llama-server 1  |
streams | CPU per token of one stream, to 8                        | cpuPerThousand  | ours 1            | ours 8          |
streams | CPU per token of one stream, to 32                       | cpuPerThousand  | ours 1            | ours 32         |
streams | 8 streams, tokens/s: gateway + ours, to ours alone       | tokensPerSecond | gateway + ours 8  | ours 8          | >= 0.97 0.99
streams | 32 streams, tokens/s: gateway + ours, to ours alone      | tokensPerSecond | gateway + ours 32 | ours 32         | >= 0.97 0.99
streams | 8 streams, CPU per token: gateway + ours, to ours alone  | cpuPerThousand  | gateway + ours 8  | ours 8          |
streams | 32 streams, CPU per token: gateway + ours, to ours alone | cpuPerThousand  | gateway + ours 32 | ours 32         |
streams | 1 stream, tokens/s: gateway + ours, to in process        | tokensPerSecond | gateway + ours 1  | in process 1    | >= 0.97
streams | 1 stream, CPU per token: gateway + ours, to in process   | cpuPerThousand  | gateway + ours 1  | in process 1    |
streams | 32 streams, CPU per token: ours, to in process           | cpuPerThousand  | ours 32           | in process 32   |
streams | 32 streams: slowest to fastest                           | fairness        | ours 32           | 1               | >= 0.9 0.94
kernels | 8 streams, tokens/s: other kernels, to llama.cpp's choice | tokensPerSecond | ours, other kernels 8 | ours 8         |
kernels | 8 streams, CPU per token: other kernels, to its choice  | cpuPerThousand  | ours, other kernels 8 | ours 8         |
kernels | 32 streams, CPU per token: other kernels, to its choice | cpuPerThousand  | ours, other kernels 32 | ours 32       |
kernels | other kernels: 8 streams, tokens/s, to default batching | tokensPerSecond | ours, other kernels 8 | node default 8 | >= 1.9 2.1
kernels | other kernels: 8 streams, tokens/s, to llama-server     | tokensPerSecond | ours, other kernels 8 | llama-server 8 | >= 0.9 0.97
kernels | other kernels: 8 streams, tokens/s, to one stream       | tokensPerSecond | ours, other kernels 8 | ours, other kernels 1 | >= 2.4 2.6
python  | 8 clients, tokens/s, to the Python service              | tokensPerSecond | ours 8            | python service 8 | >= 4.5 5
python  | 8 clients, CPU per token: the Python service, to ours   | cpuPerThousand  | python service 8  | ours 8          | >= 8 9.5
python  | 1 client: the Python service's first text, to ours      | firstTextP50Ms  | python service 1  | ours 1          | >= 20 25
python  | 8 clients: the Python service's first text, to ours     | firstTextP50Ms  | python service 8  | ours 8          | >= 25 30
engines | 32 streams, tokens/s: two engines, to one                | tokensPerSecond | ours, two engines 32 | ours 32      | >= 1.7
engines | 32 streams, CPU per token: two engines, to one           | cpuPerThousand  | ours, two engines 32 | ours 32      |
joining | long prompts join: gap p99, to llama-server              | gapP99Ms        | ours 16           | llama-server 16 | <= 0.9 0.35
joining | long prompts join: CPU per token, to llama-server        | cpuPerThousand  | ours 16           | llama-server 16 |
prefix  | first text: prefix read before, to not                   | firstTextP50Ms  | ours, again 1     | ours, first 1   |
trained | trained model, 8 streams, tokens/s, to llama-server      | tokensPerSecond | ours 8            | llama-server 8  | >= 0.75 0.9
trained | trained model, 8 streams, CPU per token, to llama-server | cpuPerThousand  | ours 8            | llama-server 8  |
cold    | cold start to the first text, seconds                    | firstTextP50Ms  | ours 1            | 1000            | <= 1.5
`;

const goals = table
  .trim()
  .split('\n')
  .map((line) => {
    const [scenario, name, member, over, under, bounds] = line.split('|').map((cell) => cell.trim());
    const [sign, ...limits] = bounds.split(' ');
    const [commit, stretch = commit] = limits.map(Number);
    return { scenario, name, member, over, under, bounds: sign === '' ? null : { sign, commit, stretch } };
  });

/** The trained model is so small that all around it weighs ten times more: it has goals of its own. */
const modelOf = (scenario) => (scenario === 'trained' || scenario === 'cold' ? 'trained' : 'gpt2');

/** Each goal for which there are samples: `{ scenario, name, ratios, median, bounds, verdict }`. */
export function judge(samples) {
  return goals.flatMap(({ scenario, name, member, over, under, bounds }) => {
    const own = samples.filter(
      (sample) => sample.scenario === scenario && sample.model === modelOf(scenario),
    );
    const ratios = [...new Set(own.map(({ round }) => round))].flatMap((round) => {
      const figure = (key) =>
        /^\d+$/.test(key)
          ? Number(key)
          : own.find((one) => one.round === round && `${one.contestant} ${one.streams}` === key)?.[member];
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
  const reaches = (bound) => (bounds.sign === '>=' ? ratio >= bound : ratio <= bound);
  if (!reaches(bounds.commit)) return 'missed';
  return reaches(bounds.stretch) && bounds.stretch !== bounds.commit ? 'met, and what was aimed at' : 'met';
}
