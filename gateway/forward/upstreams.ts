// The configured upstreams with their pooled connections.

export interface UpstreamStatus {
  readonly name: string;
  readonly ready: boolean;
  readonly problem: string | null;
}

export interface Upstreams {
  /** Probes each upstream's health path, bounded in time. */
  status(): Promise<readonly UpstreamStatus[]>;
  close(): Promise<void>;
}
