// Opens the database of the embedded identity server for a command, with the server running or not. Whoever may write
// that database is an administrator; no password or token is asked for.
import { AdministrationError, openForAdministration } from '../identity/administration.ts';
import { loadConfiguration } from './compose.ts';
import { exitCodes } from './exit-codes.ts';
import { CommandFailure } from './failure.ts';

/** The open database. */
export type IdentityDatabase = Awaited<ReturnType<typeof openForAdministration>>;

/** Runs an action on the database that a configuration names, and closes it. @throws CommandFailure */
export async function withIdentityDatabase(
  configFile: string,
  act: (database: IdentityDatabase) => Promise<void>,
): Promise<void> {
  const { identity } = loadConfiguration({ configFile, env: process.env });
  if (identity === undefined) {
    throw new CommandFailure(exitCodes.configurationInvalid, `${configFile} has no identity section.`);
  }
  try {
    const database = await openForAdministration(identity);
    try {
      await act(database);
    } finally {
      await database.destroy();
    }
  } catch (error) {
    if (error instanceof AdministrationError)
      throw new CommandFailure(exitCodes.unexpected, sentence(error.message));
    throw error;
  }
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1).replace(/\.$/, '')}.`;
}
