// What every part of a bench shares: it starts on the parent's first message and ends when the parent goes away.
import { fileURLToPath } from 'node:url';

const replyNames = { start: 'started', run: 'ran' };

/**
 * In a process that was started with the module `url`: runs `start(options)` for the message `{ start: options }` and the
 * members of `answers` for messages of their names; `{ cpu: true }` is answered with processor time in µs and RSS.
 */
export function ready(url, start, answers = {}) {
  if (process.send === undefined || process.argv[1] !== fileURLToPath(url)) return;
  const all = { cpu, ...answers, start };
  process.on('message', async (message) => {
    for (const [name, question] of Object.entries(message)) {
      try {
        const answer = (await all[name](question)) ?? {};
        process.send(name === 'cpu' ? answer : { [replyNames[name] ?? name]: answer });
      } catch (error) {
        process.send({ failed: error.stack });
      }
    }
  });
  process.on('disconnect', () => process.exit(0));
}

function cpu() {
  const { user, system } = process.cpuUsage();
  return { cpu: user + system, rss: process.memoryUsage.rss() };
}
