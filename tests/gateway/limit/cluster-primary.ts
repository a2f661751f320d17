// Forked by store.test.ts: a cluster primary with two workers, each of which consumes 50 times at once.
import { tmpdir } from 'node:os';
import cluster from 'node:cluster';
import { pino } from 'pino';
import { hostClusterCounters } from '../../../gateway/limit/cluster-host.ts';
import { createLimitStore } from '../../../gateway/limit/store.ts';

const rule = { name: 'requests', quota: 10, windowMs: 60_000 };

interface WorkerReport {
  readonly kind: string;
  readonly permitted: number;
  readonly failures: number;
}

if (cluster.isPrimary) {
  hostClusterCounters();
  const reports: WorkerReport[] = [];
  cluster.on('message', (worker, message: { report?: WorkerReport }) => {
    if (message.report === undefined) return;
    reports.push(message.report);
    worker.disconnect();
    if (reports.length < 2) return;
    process.send?.(
      {
        kinds: reports.map(({ kind }) => kind),
        permitted: reports.map(({ permitted }) => permitted),
        failures: reports.reduce((sum, { failures }) => sum + failures, 0),
      },
      () => process.disconnect(),
    );
  });
  cluster.fork();
  cluster.fork();
} else {
  const store = await createLimitStore({ redisUrl: null, folder: tmpdir(), log: pino({ level: 'silent' }) });
  let failures = 0;
  const states = await Promise.all(
    Array.from({ length: 50 }, () =>
      Promise.resolve(store.reserve([{ rule, key: 'shared', units: 1, isHeld: false }])).catch(() => {
        failures++;
        return null;
      }),
    ),
  );
  const permitted = states.filter((states) => states?.[0]?.permitted === true).length;
  process.send?.({ report: { kind: store.kind, permitted, failures } satisfies WorkerReport });
}
