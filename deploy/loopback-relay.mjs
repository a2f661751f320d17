// Passes connections from one address to another: `node loopback-relay.mjs 127.0.0.1:8081 identity:8081`. Lets a process
// reach a neighbour under the loopback address that browsers on the same computer use (docker-compose.yml).
import { connect, createServer } from 'node:net';

const [from = '', to = ''] = process.argv.slice(2);
const address = (text) => {
  const [, host, port] = /^(.+):(\d+)$/.exec(text) ?? [];
  return { host, port: Number(port) };
};
const server = createServer({ allowHalfOpen: true }, (incoming) => {
  const outgoing = connect({ ...address(to), allowHalfOpen: true });
  incoming.pipe(outgoing).pipe(incoming);
  for (const [one, other] of [
    [incoming, outgoing],
    [outgoing, incoming],
  ]) {
    one.on('error', () => other.destroy());
    one.on('close', () => other.destroy());
  }
});
server.listen(address(from), () => process.stdout.write(`relaying ${from} to ${to}\n`));
process.on('SIGTERM', () => process.exit(0));
