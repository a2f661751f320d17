// What a person sees while signing in: address, code, QR code, a countdown and two keys. The countdown is redrawn with
// a carriage return alone, so that it needs no escape sequence; off a terminal it is one line.
import { renderANSI, renderUnicodeCompact } from 'uqr';
import { isLoopbackUrl } from '../gateway-address.ts';
import type { Terminal } from '../terminal.ts';
import { printable } from '../wording.ts';
import { copyToClipboard, openInBrowser } from './desktop.ts';
import type { DeviceAuthorization } from './issuer-client.ts';

/** The lines with address and code; the QR code stands between them where another device can use it. */
export function showCode(
  authorization: DeviceAuthorization,
  terminal: Terminal,
  options: { readonly gateway: string; readonly qr: boolean },
): void {
  const { say, bold } = terminal;
  say(`Sign in to ${options.gateway}`);
  say();
  const isHere = isLoopbackUrl(new URL(authorization.verificationUri));
  const where = isHere ? 'in a browser on this machine' : 'on any device';
  say(`  1. Open     ${bold(printable(authorization.verificationUri))}      ${where}`);
  if (options.qr || !isHere) {
    const address = authorization.verificationUriComplete ?? authorization.verificationUri;
    say();
    // Coloured cells scan on light terminals too; plain blocks need a dark one.
    const code = terminal.colour
      ? renderANSI(address, { border: 1 })
      : renderUnicodeCompact(address, { border: 1 });
    for (const line of code.trimEnd().split('\n')) say(`     ${line}`);
    say();
  }
  say(`  2. Enter    ${bold(printable(authorization.userCode))}`);
  say();
  say("Go on only if that page shows the same code and this computer's name.");
}

/** A countdown that can be told about the network and must be ended. */
export interface WaitingLine {
  readonly network: (lost: boolean) => void;
  readonly end: () => void;
}

/** Starts the countdown and, on a terminal, listens for `o` and `c`. `onCancel` is Ctrl-C while keys are read. */
export function startWaiting(
  authorization: DeviceAuthorization,
  terminal: Terminal,
  onCancel: () => void,
): WaitingLine {
  const expiresAt = Date.now() + authorization.expiresInSeconds * 1000;
  if (!terminal.interactive) {
    terminal.say(`Waiting for up to ${clock(authorization.expiresInSeconds * 1000)} minutes.`);
    return {
      network: (lost) =>
        terminal.say(lost ? 'The connection is lost; trying again.' : 'The connection is back.'),
      end: () => undefined,
    };
  }
  let note = 'o opens it here   c copies the code   Ctrl-C cancels';
  let drawn = 0;
  const draw = (): void => {
    const line = `Waiting, ${clock(expiresAt - Date.now())} left.   ${note}`;
    terminal.stderr.write(`\r${line.padEnd(drawn)}`);
    drawn = line.length;
  };
  const stopKeys = listenForKeys(terminal, {
    o: () =>
      void openInBrowser(authorization.verificationUriComplete ?? authorization.verificationUri).then(
        (opened) => {
          note = opened
            ? 'opened in your browser   Ctrl-C cancels'
            : 'no browser here: open the address yourself';
          draw();
        },
      ),
    c: () =>
      void copyToClipboard(authorization.userCode).then((copied) => {
        note = copied ? 'code copied   Ctrl-C cancels' : 'no clipboard here: type the code';
        draw();
      }),
    '\u0003': onCancel,
  });
  draw();
  const timer = setInterval(draw, 1_000);
  return {
    network: (lost) => {
      note = lost
        ? 'connection lost, trying again   Ctrl-C cancels'
        : 'o opens it here   c copies the code   Ctrl-C cancels';
      draw();
    },
    end: () => {
      clearInterval(timer);
      stopKeys();
      terminal.say();
    },
  };
}

function listenForKeys(terminal: Terminal, keys: Readonly<Record<string, () => void>>): () => void {
  const { stdin } = terminal;
  const onKey = (chunk: Buffer): void => {
    for (const key of chunk.toString('latin1')) keys[key.toLowerCase()]?.();
  };
  stdin.setRawMode?.(true);
  stdin.resume();
  stdin.on('data', onKey);
  return () => {
    stdin.off('data', onKey);
    stdin.setRawMode?.(false);
    stdin.pause();
  };
}

function clock(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
}
