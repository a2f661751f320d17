// Opens the one database of identity: PostgreSQL when a URL is given, else a SQLite file; then migrates it.
import { join } from 'node:path';
import { Kysely, PostgresDialect, type Dialect } from 'kysely';
import { Migrator } from 'kysely/migration';
import pg from 'pg';
import { readSecret } from '../../core/secret.ts';
import type { IdentityConfig } from '../config.ts';
import { migrations } from './migrations.ts';
import { sqliteFileDialect } from './node-sqlite.ts';
import type { IdentityTables } from './schema.ts';

export type Database = Kysely<IdentityTables>;

/** Whole seconds since 1970, the unit of every time column. */
export function nowInSeconds(): number {
  return Math.floor(Date.now() / 1000);
}

/** Where the SQLite file lies. */
export function sqliteFile(folder: string): string {
  return join(folder, 'identity.sqlite');
}

/** Opens and migrates the database. @throws Error whose message never holds the database URL. */
export async function openDatabase(config: Pick<IdentityConfig, 'data' | 'database_url'>): Promise<Database> {
  const dialect =
    config.database_url === undefined
      ? sqliteFileDialect(sqliteFile(config.data))
      : postgresDialect(readSecret(config.database_url));
  const database: Database = new Kysely<IdentityTables>({ dialect });
  // eslint-disable-next-line id-denylist -- kysely's name of the option.
  const { error } = await new Migrator({ db: database, provider: migrations }).migrateToLatest();
  if (error === undefined) return database;
  await database.destroy();
  const where =
    config.database_url === undefined ? 'SQLite file under identity.data' : 'identity.database_url';
  const reason = error instanceof Error ? error.message.replaceAll(/postgres(ql)?:\/\/\S+/g, '…') : 'unknown';
  throw new Error(`the identity database (${where}) cannot be opened or migrated: ${reason}`, {
    cause: error,
  });
}

// PostgreSQL's type number of bigint.
const int8 = pg.types.builtins.INT8;

function postgresDialect(connectionString: string): Dialect {
  const pool = new pg.Pool({
    connectionString,
    max: 10,
    connectionTimeoutMillis: 5000,
    // Times are bigint columns; whole seconds fit a double for as long as it matters.
    types: {
      getTypeParser: (oid, format) =>
        oid === int8 ? Number : (pg.types.getTypeParser(oid, format) as unknown),
    },
  });
  // A connection that dies while idle is replaced by the pool; without a listener it would end the process.
  pool.on('error', () => undefined);
  return new PostgresDialect({ pool });
}
