// The last good keys of an issuer on disk, so that a restart while the issuer is down goes on. The folder belongs to
// the gateway alone (0700); what lies there is judged like a fetched document, and by its age.
import { createHash, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { KeyDocument } from './issuer-keys.ts';

const fileSchema = z.strictObject({
  issuer: z.string(),
  jwks_uri: z.string(),
  /** Epoch ms. */
  fetched_at: z.number(),
  keys: z.array(z.record(z.string(), z.unknown())),
});

/** A key document as it was fetched. */
export interface FetchedKeys {
  readonly jwksUri: string;
  readonly fetchedAt: number;
  readonly document: KeyDocument;
}

/** Where the last good keys of one issuer are kept. */
export interface LastGoodKeys {
  /** Null when there are none, or none that can be read. */
  read(): FetchedKeys | null;
  /** Replaces them in one step. @throws Error when the disk refuses */
  write(keys: FetchedKeys): Promise<void>;
}

/** Keeps the keys of `issuer`, fetched by way of `documentUrl` (metadata or keys), under `dataDir`. */
export function lastGoodKeys(dataDir: string, issuer: string, documentUrl: string): LastGoodKeys {
  const folder = join(dataDir, 'issuer-keys');
  const name = createHash('sha256').update(`${issuer} ${documentUrl}`).digest('hex').slice(0, 32);
  const path = join(folder, `${name}.json`);
  return {
    read() {
      try {
        const kept = fileSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
        if (kept.issuer !== issuer) return null;
        return { jwksUri: kept.jwks_uri, fetchedAt: kept.fetched_at, document: { keys: kept.keys } };
      } catch {
        return null; // Never written, or damaged: the issuer will be asked.
      }
    },
    async write({ jwksUri, fetchedAt, document }) {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      // A name of its own: several workers may write at the same time.
      const draft = `${path}.${randomUUID()}`;
      await writeFile(
        draft,
        JSON.stringify({ issuer, jwks_uri: jwksUri, fetched_at: fetchedAt, keys: document.keys }),
        { mode: 0o600 },
      );
      await rename(draft, path);
    },
  };
}
