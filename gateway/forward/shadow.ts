// Answers `kind: shadow` routes: what a candidate bundle would decide otherwise (gateway.shadow_policies).
import type { Guarded } from '../exchange.ts';
import type { ShadowReport } from '../policies/shadow.ts';
import { jsonHead } from './answer-head.ts';

const noShadow: ShadowReport = {
  digest: null,
  problem: 'gateway.shadow_policies names no candidate',
  since: new Date().toISOString(),
  compared: 0,
  different: 0,
  dropped: 0,
  failed: 0,
  differences: [],
};

/** Answers what this process has compared; with several workers, each answers for itself. */
export function answerShadow(guarded: Guarded): void {
  const { services, snapshot, outcome, response } = guarded;
  const report = services.shadow?.report() ?? noShadow;
  const bytes = Buffer.from(JSON.stringify({ live: snapshot.digest, ...report }));
  outcome.firstByteAt = performance.now();
  response.writeHead(200, { ...jsonHead(guarded, {}, bytes.length), 'cache-control': 'no-store' });
  response.end(bytes);
}
