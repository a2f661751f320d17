// Prometheus metrics; labels are closed sets only (route, model from configuration, code, issuer name), never a
// subject, an address, a path or a request id.
import cluster from 'node:cluster';
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';
import { packageVersion } from '../../core/package.ts';
import type { IssuerStatus, Revocations } from '../authenticate/index.ts';
import type { AskedOutside } from '../authorize/outside/asked-outside.ts';
import { buckets, EndedRequests, type EndedRequest } from './ended-requests.ts';
import { shareWithPrimary } from './worker-metrics.ts';

/** Counts for Prometheus. */
export interface Metrics {
  requestEnded(ended: EndedRequest): void;
  /** After a policy file was saved or SIGHUP came. */
  policyReloaded(outcome: 'swapped' | 'refused' | 'tests_failed'): void;
  /** Decisions that could not be recorded. */
  decisionsLost(count: number): void;
  /** One decision made again under the shadow policies; `rule` is empty where the two agree. */
  shadowCompared(live: string, candidate: string, rule: string): void;
  /** After an issuer was asked about a credential. */
  introspected(issuer: string, outcome: 'accepted' | 'refused' | 'failed'): void;
  /** After somebody else was asked before a decision, or a kept answer was used. */
  askedOutside(of: 'relations' | 'decision_point', asked: AskedOutside): void;
  /** The text exposition and its content type. */
  render(): Promise<{ contentType: string; body: string }>;
}

/** Where the gauges of the current snapshot read. */
export interface MetricsOptions {
  /** How the issuers of the current snapshot stand; asked at each scrape. */
  readonly issuers?: () => readonly IssuerStatus[];
  /** What is revoked, and how it is learnt; asked at each scrape. */
  readonly revocations?: () => Pick<Revocations, 'size' | 'status'>;
  /** Bundle digest of the current snapshot; asked at each scrape. */
  readonly digest?: () => string;
  /** Whether the bundle in use is what the policy directory says; asked at each scrape. */
  readonly policiesCurrent?: () => boolean;
}

/** Creates the metrics of one gateway process, with their own registry. */
export function createMetrics(options: MetricsOptions = {}): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  if (cluster.isWorker) shareWithPrimary(registry);
  const endedRequests = new EndedRequests(registry);
  const reloads = new Counter({
    name: 'sallyport_policy_reloads_total',
    help: 'Policy bundles that were swapped in, refused as invalid, or refused because a test of theirs failed.',
    labelNames: ['outcome'],
    registers,
  });
  for (const outcome of ['swapped', 'refused', 'tests_failed']) reloads.inc({ outcome }, 0);
  const decisionsLost = new Counter({
    name: 'sallyport_decision_records_lost_total',
    help: 'Decisions that could not be recorded for policy replay, because the disk failed or was too slow.',
    registers,
  });
  const shadow = new Counter({
    name: 'sallyport_shadow_decisions_total',
    help: 'Decisions made again under the shadow policies: what was decided (live), what the candidate says (permit, deny, error, dropped), and its role or rule where the two differ.',
    labelNames: ['live', 'candidate', 'rule'],
    registers,
  });
  const introspections = new Counter({
    name: 'sallyport_introspections_total',
    help: 'Questions to issuers about credentials, by issuer and outcome (accepted, refused, failed).',
    labelNames: ['issuer', 'outcome'],
    registers,
  });
  registerSnapshotGauges(registers, options);
  const asked = new Counter({
    name: 'sallyport_authorization_questions_total',
    help: 'Questions to a store of relations or a decision point elsewhere, by outcome (answered, permit, deny, failed, cached).',
    labelNames: ['of', 'outcome'],
    registers,
  });
  const askedDuration = new Histogram({
    name: 'sallyport_authorization_question_duration_seconds',
    help: 'How long a store of relations or a decision point elsewhere took to answer.',
    labelNames: ['of'],
    buckets: buckets.slice(0, 12),
    registers,
  });

  return {
    requestEnded: (ended) => endedRequests.count(ended),
    policyReloaded: (outcome) => reloads.inc({ outcome }),
    decisionsLost: (count) => decisionsLost.inc(count),
    shadowCompared: (live, candidate, rule) => shadow.inc({ live, candidate, rule }),
    introspected: (issuer, outcome) => introspections.inc({ issuer, outcome }),
    askedOutside(of, { outcome, count, seconds }) {
      asked.inc({ of, outcome }, count);
      if (seconds !== null) askedDuration.observe({ of }, seconds);
    },
    render: async () => ({ contentType: registry.contentType, body: await registry.metrics() }),
  };
}

/** Values that are read from the current snapshot when Prometheus asks. */
function registerSnapshotGauges(registers: Registry[], options: MetricsOptions): void {
  new Gauge({
    name: 'sallyport_issuer_ready',
    help: '1 when access tokens of the issuer can be verified.',
    labelNames: ['issuer'],
    aggregator: 'min', // Over workers: ready when every one of them is.
    registers,
    collect() {
      this.reset(); // An issuer that a reload removed must not stay.
      for (const { name, ready } of options.issuers?.() ?? []) this.set({ issuer: name }, ready ? 1 : 0);
    },
  });
  new Gauge({
    name: 'sallyport_policies_current',
    help: '1 while the policies in use are what the policy directory says; 0 while an edit is refused.',
    aggregator: 'min',
    registers,
    collect() {
      this.set(options.policiesCurrent?.() === false ? 0 : 1);
    },
  });
  new Gauge({
    name: 'sallyport_revocations',
    help: 'Revocations that are known and in force.',
    aggregator: 'max', // Over workers: all of them know the same.
    registers,
    collect() {
      this.set(options.revocations?.().size ?? 0);
    },
  });
  new Gauge({
    name: 'sallyport_revocation_source_ready',
    help: '1 when revocations arrive from the source: files (other processes), redis (other gateways), identity (its feed).',
    labelNames: ['source'],
    aggregator: 'min',
    registers,
    collect() {
      this.reset();
      for (const { name, problem } of options.revocations?.().status() ?? [])
        this.set({ source: name }, problem === null ? 1 : 0);
    },
  });
  new Gauge({
    name: 'sallyport_build_info',
    help: 'Always 1; the version of the gateway and the digest of its policy bundle.',
    labelNames: ['version', 'digest'],
    aggregator: 'first',
    registers,
    collect() {
      this.reset();
      this.set({ version: packageVersion, digest: options.digest?.() ?? '' }, 1);
    },
  });
}
