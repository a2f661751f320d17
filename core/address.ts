// One spelling of listening addresses: `127.0.0.1:8080`, `[::1]:8080`, `unix:data/run/model.sock`.
import { isIP } from 'node:net';
import { z } from 'zod';

/** Where a server listens. */
export type ListenAddress =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string };

/** Parses a listening address. @throws Error with what is wrong. */
function parseListenAddress(text: string): ListenAddress {
  if (text.startsWith('unix:') && text.length > 5) return { kind: 'unix', path: text.slice(5) };
  const match = /^(\[[0-9a-fA-F:.]+\]|[^:[\]]+):(\d{1,5})$/.exec(text);
  const host = match?.[1]?.replaceAll(/[[\]]/g, '');
  const port = Number(match?.[2]);
  if (host === undefined || port > 65535)
    throw new Error('a listening address is host:port, [ipv6]:port or unix:/path');
  return { kind: 'tcp', host, port };
}

/** Schema of a listening address; the output is the parsed form. */
export const listenAddress = z.string().transform((text, context): ListenAddress => {
  try {
    return parseListenAddress(text);
  } catch (error) {
    context.addIssue({ code: 'custom', message: error instanceof Error ? error.message : String(error) });
    return z.NEVER;
  }
});

/** Whether only this machine can connect; a host name counts as loopback only when it is `localhost`. */
export function isLoopback(address: ListenAddress): boolean {
  if (address.kind === 'unix') return true;
  if (isIP(address.host) === 0) return address.host === 'localhost';
  return address.host.startsWith('127.') || address.host === '::1';
}

/** `host:port` with brackets around IPv6, or `unix:path`. */
export function formatAddress(address: ListenAddress): string {
  if (address.kind === 'unix') return `unix:${address.path}`;
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}
