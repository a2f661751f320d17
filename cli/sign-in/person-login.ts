// One sign-in by a person: the code is shown, the browser waited for, the session stored. `login` does it when asked, other
// commands when the gateway wants a stronger or more recent sign-in.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Connection } from '../connection.ts';
import { rememberProfile } from '../profiles.ts';
import type { Terminal } from '../terminal.ts';
import { deviceLogin } from './device-login.ts';
import type { DeviceAuthorization } from './issuer-client.ts';
import { showCode, startWaiting, type WaitingLine } from './prompt.ts';
import { prepareStateFolder, sessionFile, writeSession, type Session } from './session-file.ts';
import { withLock } from './session-lock.ts';
import type { StepUp } from './step-up.ts';

export interface PersonLoginOptions {
  readonly signal: AbortSignal;
  readonly clientId?: string | undefined;
  readonly stepUp?: StepUp | undefined;
  readonly qr?: boolean | undefined;
  /** Instead of showing the code to a person. */
  readonly onCode?: ((authorization: DeviceAuthorization) => void) | undefined;
}

/** Signs in and stores the session. @throws CommandFailure with its own sentence per cause */
export async function personLogin(
  connection: Connection,
  terminal: Terminal,
  { signal, clientId, stepUp, qr = false, onCode }: PersonLoginOptions,
): Promise<Session> {
  prepareStateFolder();
  let waiting: WaitingLine | undefined;
  const endWaiting = (): void => {
    waiting?.end();
    waiting = undefined;
  };
  signal.addEventListener('abort', endWaiting);
  try {
    const session = await deviceLogin({
      key: connection.address,
      fetch: connection.fetch,
      clientId,
      stepUp,
      signal,
      sleep: (ms) => sleep(ms, undefined, { signal }),
      onCode: (authorization) => {
        if (onCode !== undefined) {
          onCode(authorization);
          return;
        }
        showCode(authorization, terminal, { gateway: connection.address.gateway, qr });
        waiting = startWaiting(authorization, terminal, () => process.kill(process.pid, 'SIGINT'));
      },
      onNetwork: (lost) => waiting?.network(lost),
    });
    endWaiting();
    const file = sessionFile(session);
    await withLock(`${file}.lock`, () => Promise.resolve(writeSession(session)));
    rememberProfile(session.profile, { gateway: session.gateway, ca: connection.certificateAuthority });
    return session;
  } finally {
    endWaiting();
    signal.removeEventListener('abort', endWaiting);
  }
}
