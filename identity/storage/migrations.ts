// Versioned migrations, run in order at start on either database. A published one is never changed.
import type { Kysely } from 'kysely';
import type { Migration, MigrationProvider } from 'kysely/migration';

const initial: Migration = {
  async up(database: Kysely<unknown>): Promise<void> {
    await database.schema
      .createTable('accounts')
      .addColumn('id', 'text', (column) => column.primaryKey())
      .addColumn('username', 'text', (column) => column.notNull())
      .addColumn('username_key', 'text', (column) => column.notNull().unique())
      .addColumn('email', 'text')
      .addColumn('full_name', 'text')
      .addColumn('password_hash', 'text', (column) => column.notNull())
      .addColumn('roles', 'text', (column) => column.notNull())
      .addColumn('groups', 'text', (column) => column.notNull())
      .addColumn('disabled', 'integer', (column) => column.notNull())
      .addColumn('created_at', 'bigint', (column) => column.notNull())
      .addColumn('last_sign_in_at', 'bigint')
      .execute();
    await database.schema
      .createTable('records')
      .addColumn('model', 'text', (column) => column.notNull())
      .addColumn('id_hash', 'text', (column) => column.notNull())
      .addColumn('payload', 'text', (column) => column.notNull())
      .addColumn('grant_id', 'text')
      .addColumn('account_id', 'text')
      .addColumn('user_code', 'text')
      .addColumn('uid', 'text')
      .addColumn('settled', 'integer', (column) => column.notNull())
      .addColumn('consumed_at', 'bigint')
      .addColumn('expires_at', 'bigint')
      .addPrimaryKeyConstraint('records_key', ['model', 'id_hash'])
      .execute();
    await database.schema.createIndex('records_by_grant').on('records').column('grant_id').execute();
    await database.schema.createIndex('records_by_account').on('records').column('account_id').execute();
    await database.schema
      .createIndex('records_by_user_code')
      .on('records')
      .column('user_code')
      .unique()
      .execute();
    await database.schema.createIndex('records_by_uid').on('records').column('uid').execute();
    await database.schema.createIndex('records_by_expiry').on('records').column('expires_at').execute();
    await database.schema
      .createTable('signing_keys')
      .addColumn('kid', 'text', (column) => column.primaryKey())
      .addColumn('jwk', 'text', (column) => column.notNull())
      .addColumn('created_at', 'bigint', (column) => column.notNull())
      .addColumn('retired_at', 'bigint')
      .execute();
    await database.schema
      .createTable('secrets')
      .addColumn('name', 'text', (column) => column.primaryKey())
      .addColumn('value', 'text', (column) => column.notNull())
      .addColumn('created_at', 'bigint', (column) => column.notNull())
      .execute();
    await database.schema
      .createTable('attempts')
      .addColumn('key', 'text', (column) => column.primaryKey())
      .addColumn('failures', 'integer', (column) => column.notNull())
      .addColumn('blocked_until', 'bigint', (column) => column.notNull())
      .addColumn('expires_at', 'bigint', (column) => column.notNull())
      .execute();
  },
};

/** All migrations by name; names sort in the order of running. */
export const migrations: MigrationProvider = {
  getMigrations: () => Promise.resolve({ '0001-initial': initial }),
};
