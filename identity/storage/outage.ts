// Tells a database that is away from a bug of ours: the first is over soon, and whoever asked may ask again.

/** Connection exceptions, shutdown and start of PostgreSQL (its manual, appendix A: 08, 57P01 to 57P03, 53300). */
const sqlStates = /^(08\w{3}|57P0[123]|53300)$/;
const socketErrors = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EPIPE',
  'ETIMEDOUT',
]);
/** What pg says without a code. */
const messages =
  /^(Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error)/;

/** Seconds after which asking again is worth it. */
export const outageRetrySeconds = 5;

/** Whether an error of a query says that PostgreSQL cannot be reached, is starting or is shutting down. */
export function isDatabaseOutage(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code, syscall } = error as Error & { code?: unknown; syscall?: unknown };
  if (typeof code !== 'string') return messages.test(error.message);
  // Without a file, a Unix socket has nobody behind it.
  return sqlStates.test(code) || socketErrors.has(code) || (code === 'ENOENT' && syscall === 'connect');
}
