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

const keysAndRevocation: Migration = {
  async up(database: Kysely<unknown>): Promise<void> {
    await database.schema
      .createTable('api_keys')
      .addColumn('id', 'text', (column) => column.primaryKey())
      .addColumn('owner', 'text', (column) => column.notNull())
      .addColumn('secret_hash', 'text', (column) => column.notNull())
      .addColumn('name', 'text', (column) => column.notNull())
      .addColumn('roles', 'text', (column) => column.notNull())
      .addColumn('created_at', 'bigint', (column) => column.notNull())
      .addColumn('expires_at', 'bigint', (column) => column.notNull())
      .addColumn('last_used_at', 'bigint')
      .addColumn('revoked_at', 'bigint')
      .execute();
    await database.schema.createIndex('api_keys_by_owner').on('api_keys').column('owner').execute();
    await database.schema
      .createTable('issued_tokens')
      .addColumn('jti', 'text', (column) => column.primaryKey())
      .addColumn('grant_id', 'text', (column) => column.notNull())
      .addColumn('expires_at', 'bigint', (column) => column.notNull())
      .execute();
    await database.schema
      .createIndex('issued_tokens_by_grant')
      .on('issued_tokens')
      .column('grant_id')
      .execute();
    await database.schema
      .createIndex('issued_tokens_by_expiry')
      .on('issued_tokens')
      .column('expires_at')
      .execute();
    await database.schema
      .createTable('counters')
      .addColumn('name', 'text', (column) => column.primaryKey())
      .addColumn('value', 'bigint', (column) => column.notNull())
      .execute();
    await database.schema
      .createTable('events')
      .addColumn('id', 'bigint', (column) => column.primaryKey())
      .addColumn('type', 'text', (column) => column.notNull())
      .addColumn('about', 'text', (column) => column.notNull())
      .addColumn('at', 'bigint', (column) => column.notNull())
      .execute();
    await database.schema.createIndex('events_by_subject').on('events').columns(['about', 'type']).execute();
    await database.schema.createIndex('events_by_time').on('events').column('at').execute();
    await database.schema
      .createTable('relations')
      .addColumn('object', 'text', (column) => column.notNull())
      .addColumn('relation', 'text', (column) => column.notNull())
      .addColumn('subject', 'text', (column) => column.notNull())
      .addColumn('created_at', 'bigint', (column) => column.notNull())
      .addPrimaryKeyConstraint('relations_key', ['object', 'relation', 'subject'])
      .execute();
  },
};

/** All migrations by name; names sort in the order of running. */
export const migrations: MigrationProvider = {
  getMigrations: () =>
    Promise.resolve({ '0001-initial': initial, '0002-keys-and-revocation': keysAndRevocation }),
};
