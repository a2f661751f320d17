// Tries TCP connections from wherever it runs: `node reach.mjs host port …` prints one word per pair.
import { connect } from 'node:net';

const words = process.argv.slice(2);
const pairs = words.flatMap((word, index) => (index % 2 === 0 ? [[word, Number(words[index + 1])]] : []));
const results = await Promise.all(
  pairs.map(
    ([host, port]) =>
      new Promise((resolve) => {
        const socket = connect({ host, port });
        const end = (result) => {
          socket.destroy();
          resolve(result);
        };
        socket.setTimeout(1500, () => end('timeout'));
        socket.once('connect', () => end('open'));
        socket.once('error', (error) => end(error.code));
      }),
  ),
);
process.stdout.write(JSON.stringify(results));
