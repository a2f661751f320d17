// Ctrl-C for commands of a user: the first answers at once and ends the command with 130, the second ends the process.
import { exitCodes } from './exit-codes.ts';
import { CommandFailure } from './failure.ts';

/** Runs a command that stops when its signal aborts; a SIGINT or SIGTERM becomes exit code 130. */
export async function interruptible<Result>(work: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
  const controller = new AbortController();
  let onSignal = (): void => undefined;
  const interrupted = new Promise<never>((_, reject) => {
    onSignal = () => {
      if (controller.signal.aborted) process.exit(exitCodes.interrupted);
      controller.abort();
      // Empty message: the person who pressed Ctrl-C knows.
      reject(new CommandFailure(exitCodes.interrupted, '', { code: 'interrupted' }));
      // Whatever still holds the process, such as an open connection, does not hold it for long.
      setTimeout(() => process.exit(exitCodes.interrupted), 80).unref();
    };
  });
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  try {
    return await Promise.race([work(controller.signal), interrupted]);
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  }
}
