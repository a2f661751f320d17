// One revocation, as it is known, kept on disk and passed on: what stopped to work, from when, for how long to remember.
import { z } from 'zod';

const record = z.strictObject({
  /** The exact `iss` of the credentials. */
  issuer: z.string().min(1).max(2_048),
  /** `jti`, `uti` or id of an API key. */
  credential: z.string().min(1).max(1_024).optional(),
  /** Key of a principal: all of his credentials that were issued at or before `at`. */
  holder: z.string().min(1).max(4_096).optional(),
  /** Epoch seconds. */
  at: z.number(),
  /** Epoch seconds after which nothing that it concerns can be valid any more; null: never. */
  until: z.number().nullable(),
  /** His API keys go on: their issuer names each one that dies. */
  spares_api_keys: z.literal(true).optional(),
});

/** What stopped to work: exactly one of `credential` and `holder` is there. */
export type Revocation = z.output<typeof record>;

/** A revocation out of a text that another process wrote, or null when it is none. */
export function parseRevocation(text: string): Revocation | null {
  try {
    const { success, data: revocation } = record.safeParse(JSON.parse(text));
    if (!success || (revocation.credential === undefined) === (revocation.holder === undefined)) return null;
    return revocation;
  } catch {
    return null;
  }
}
