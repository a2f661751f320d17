// Where rate-limit counters live: this process, the cluster primary, or Redis. All through rate-limiter-flexible.

export interface LimitState {
  readonly permitted: boolean;
  readonly remaining: number;
  /** Milliseconds until the window resets. */
  readonly resetMs: number;
}

export interface LimitRule {
  /** Unique within a bundle, e.g. `requests-per-principal`; part of the counter's key. */
  readonly name: string;
  readonly requests: number;
  readonly windowMs: number;
}

export interface LimitStore {
  readonly kind: 'process' | 'cluster' | 'redis';
  /** Counts one request. @throws GatewayError `limit_store_unavailable` */
  consume(rule: LimitRule, key: string): Promise<LimitState>;
  /** Looks without counting. */
  peek(rule: LimitRule, key: string): Promise<LimitState>;
  /** For /readyz: null when well, else words for an operator. */
  problem(): string | null;
  close(): Promise<void>;
}
