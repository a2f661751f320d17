// The contract of a guard kind: one exported constant with its name in guards.yaml, its schema and its compiler.
import type { z } from 'zod';

/** Why a guard refuses; never holds text of the caller. */
export interface Objection {
  readonly code: 'content_blocked' | 'parameter_above_ceiling' | 'body_invalid';
  /** For the audit record: which entry of the guard decided. */
  readonly reason: string;
  readonly param?: string;
  readonly params?: Readonly<Record<string, string | number>>;
}

/** A guard with its options compiled. */
export interface CompiledGuard {
  /** The objection to this body, or null; `isPlain` when its texts are known to be printable ASCII and plain white space. */
  check(body: Readonly<Record<string, unknown>>, isPlain?: boolean): Objection | null;
}

/** A kind of guard; `name` is its `kind` in guards.yaml. */
export interface GuardKind<Schema extends z.ZodType = z.ZodType> {
  readonly name: string;
  readonly schema: Schema;
  create(options: z.output<Schema>): CompiledGuard;
}
