// Runs the same tests on SQLite and on PostgreSQL.
import { after, before, describe } from 'node:test';
import { skipWithoutPostgres, startPostgres, type TestPostgres } from '../support/postgres.ts';

/** Settings of an empty database for one server. */
export type FreshDatabase = () => Promise<{ database_url?: string }>;

/** Declares a suite once per database. */
export function onEachDatabase(title: string, body: (fresh: FreshDatabase) => void): void {
  describe(`${title} (SQLite)`, () => body(async () => ({})));
  describe(`${title} (PostgreSQL)`, { skip: skipWithoutPostgres() }, () => {
    let postgres: TestPostgres;
    let count = 0;
    const names: string[] = [];
    before(async () => {
      postgres = await startPostgres();
    });
    after(async () => {
      for (const name of names) Reflect.deleteProperty(process.env, name);
      await postgres.stop();
    });
    body(async () => {
      const name = `SALLYPORT_TEST_DATABASE_${process.pid}_${count++}`;
      names.push(name);
      process.env[name] = await postgres.createDatabase();
      return { database_url: `env:${name}` };
    });
  });
}
