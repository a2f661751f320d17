// A Unix socket before another one that counts how often its client has sent something: what a round trip begins with.
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface CountingProxy {
  readonly path: string;
  /** Times the client has begun to send after an answer, or for the first time: its round trips. */
  roundTrips(): number;
  /** What clients have sent since it started. */
  sent(): string;
  close(): Promise<void>;
}

/** Listens on a socket of its own and passes everything on to `target`. */
export async function startCountingProxy(target: string): Promise<CountingProxy> {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-proxy-'));
  const path = join(folder, 'proxy.sock');
  const sockets = new Set<Socket>();
  let roundTrips = 0;
  let sent = '';
  const server = createServer((near) => {
    const far = connect(target);
    let isAnswered = true;
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => socket.destroy());
    }
    near.on('data', (bytes) => {
      if (isAnswered) roundTrips++;
      isAnswered = false;
      sent += bytes.toString('latin1');
      far.write(bytes);
    });
    far.on('data', (bytes) => {
      isAnswered = true;
      near.write(bytes);
    });
    near.on('close', () => far.destroy());
    far.on('close', () => near.destroy());
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return {
    path,
    roundTrips: () => roundTrips,
    sent: () => sent,
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => {
          rmSync(folder, { recursive: true, force: true });
          resolve();
        });
      }),
  };
}
