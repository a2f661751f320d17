// The hash-chained audit log: one JSON line for every request and every policy swap.

export interface AuditLog {
  /** Appends one record; buffered, written in groups. */
  append(record: Readonly<Record<string, unknown>>): void;
  problem(): string | null;
  close(): Promise<void>;
}
