// What outlives a request and a snapshot: stores, logs, connections. Built once by server.ts.
import type { Logger } from '../core/log.ts';
import type { AuditLog } from './accounting/audit-log.ts';
import type { DecisionLog } from './accounting/decision-log.ts';
import type { Metrics } from './accounting/metrics.ts';
import type { ClientTrust, DpopServices, IdentityApi, Revocations } from './authenticate/index.ts';
import type { DecisionPoint } from './authorize/decision-point/decision-point.ts';
import type { IdentityTuples } from './authorize/relations/identity-tuples.ts';
import type { RemoteRelationStore } from './authorize/relations/openfga-store.ts';
import type { Upstreams } from './forward/upstreams.ts';
import type { LimitStore } from './limit/store.ts';
import type { Shadow } from './policies/shadow.ts';

/** Everything that requests share. */
export interface Services {
  readonly log: Logger;
  /** What callers type, without a trailing slash. */
  readonly publicUrl: string;
  readonly auditLog: AuditLog;
  /** Absent where decisions are not recorded. */
  readonly decisions?: DecisionLog;
  /** Absent where no candidate is named. */
  readonly shadow?: Shadow;
  readonly metrics: Metrics;
  readonly limitStore: LimitStore;
  /** Nonces and proofs seen: they outlive a reload of the policies. */
  readonly dpop: DpopServices;
  /** Who vouches for client certificates; null where none are asked for. */
  readonly clientTrust: ClientTrust | null;
  /** What no longer works, although it looks valid. */
  readonly revocations: Revocations;
  /** The embedded identity; null when there is none. */
  readonly identityApi: IdentityApi | null;
  readonly upstreams: Upstreams;
  /** Relationships that are held elsewhere, or null. */
  readonly relationStore: RemoteRelationStore | null;
  /** Relationships that the embedded identity holds, or null where they do not count. */
  readonly identityTuples: IdentityTuples | null;
  /** Who must permit, too, what the policies permit; or null. */
  readonly decisionPoint: DecisionPoint | null;
}
