// How long a connection may rest before it is closed by us: before the peer closes it, so that no request meets a
// connection that is just being closed.

const usualMs = 4_000;
const marginMs = 2_000;
const longestMs = 600_000;
const statedTimeout = /(?:^|[\s,])timeout=(\d{1,9})(?:$|[\s,])/i;

/** Milliseconds for a `keep-alive` field of the peer, or for none; 0 when the connection should not be kept at all. */
export function restMsOf(keepAlive: string | undefined): number {
  const seconds = keepAlive === undefined ? undefined : statedTimeout.exec(keepAlive)?.[1];
  if (seconds === undefined) return usualMs;
  return Math.min(Math.max(Number(seconds) * 1_000 - marginMs, 0), longestMs);
}
