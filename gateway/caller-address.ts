// Who called, by address. Forwarding headers are believed only from listed proxies; none by default.
import { BlockList, isIP } from 'node:net';
import type { CallerRequest } from './caller.ts';

/** Reads the caller's address off a request. */
export type CallerAddress = (request: CallerRequest) => string;

/** The address at the other end of a connection. */
export function peerAddress(socket: { readonly remoteAddress?: string | undefined }): string {
  return plain(socket.remoteAddress ?? 'unknown');
}

/**
 * Creates the reader of caller addresses. With trusted proxies, the rightmost address of X-Forwarded-For that is not a
 * trusted proxy itself is the caller; anything that is no IP address ends the search.
 * @param trustedProxies addresses or CIDR blocks
 * @throws Error naming an entry that is neither
 */
export function createCallerAddress(trustedProxies: readonly string[]): CallerAddress {
  const trusted = new BlockList();
  for (const entry of trustedProxies) {
    const [address = '', prefix, ...more] = entry.split('/');
    const family = isIP(address);
    const bits = prefix === undefined ? 0 : /^\d{1,3}$/.test(prefix) ? Number(prefix) : Number.NaN;
    if (family === 0 || more.length > 0 || !(bits <= (family === 6 ? 128 : 32)))
      throw new Error(`${entry} is neither an address nor a CIDR block`);
    const type = family === 6 ? 'ipv6' : 'ipv4';
    if (prefix === undefined) trusted.addAddress(address, type);
    else trusted.addSubnet(address, bits, type);
  }
  const isTrusted = (address: string): boolean =>
    trusted.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');

  return (request) => {
    let caller = peerAddress(request.socket);
    if (trustedProxies.length === 0 || isIP(caller) === 0 || !isTrusted(caller)) return caller;
    const forwarded = request.headers['x-forwarded-for'];
    const hops = (Array.isArray(forwarded) ? forwarded.join(',') : (forwarded ?? ''))
      .split(',')
      .map((hop) => plain(hop.trim()));
    for (const hop of hops.reverse()) {
      if (isIP(hop) === 0) break;
      caller = hop;
      if (!isTrusted(hop)) break;
    }
    return caller;
  };
}

// An IPv4 caller on a dual-stack socket appears as ::ffff:a.b.c.d.
function plain(address: string): string {
  return address.startsWith('::ffff:') && isIP(address.slice(7)) === 4 ? address.slice(7) : address;
}
