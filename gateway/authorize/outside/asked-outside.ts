// What is counted when a service elsewhere was asked, or its kept answer was used.

/** One or several answers, for metrics. */
export interface AskedOutside {
  /** A closed set: `answered`, `permit`, `deny`, `failed`, `cached`. */
  readonly outcome: 'answered' | 'permit' | 'deny' | 'failed' | 'cached';
  readonly count: number;
  /** Null when nobody was asked. */
  readonly seconds: number | null;
}
