// The pace at which devices poll. Too fast is slow_down and five seconds more; half a second of grace, because MSAL
// takes slow_down for the end and its timers are not exact. In memory: a restart forgives, nothing is lost.
import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';

const graceMs = 500;

/** Answers whether a poll comes too fast; the key names the client and its device code. */
export type JudgePoll = (poll: string) => 'fine' | 'too-fast';

/** Creates the judge. */
export function createPollJudge(options: {
  intervalSeconds: number;
  lifetimeSeconds: number;
  now?: () => number;
}): JudgePoll {
  const now = options.now ?? Date.now;
  const polls = new LRUCache<string, { at: number; intervalMs: number }>({
    max: 10_000,
    ttl: options.lifetimeSeconds * 1000,
  });
  return (poll) => {
    const key = createHash('sha256').update(poll).digest('base64');
    const last = polls.get(key);
    const intervalMs = last?.intervalMs ?? options.intervalSeconds * 1000;
    const tooFast = last !== undefined && now() - last.at < intervalMs - graceMs;
    // RFC 8628 §3.5: slow_down means five seconds more for this and all later polls.
    polls.set(key, { at: now(), intervalMs: tooFast ? intervalMs + 5000 : intervalMs });
    return tooFast ? 'too-fast' : 'fine';
  };
}
