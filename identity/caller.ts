// Which address a request came from. A forwarding header is believed only beside a valid assertion of the gateway,
// which alone may speak for somebody else; everybody else is the peer of the connection.
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { assertionHeader, type AssertedPrincipal, type VerifyAssertion } from '../core/assertion.ts';

export interface Caller {
  readonly address: string;
  /** Whom the gateway vouches for; null for a request that came without a valid assertion. */
  readonly principal: AssertedPrincipal | null;
}

const callers = new WeakMap<IncomingMessage, Caller>();

/** Works out the caller of a request and remembers it for `callerOf`. */
export async function identifyCaller(
  request: IncomingMessage,
  verifyAssertion: VerifyAssertion,
): Promise<Caller> {
  const header = request.headers[assertionHeader];
  const principal = typeof header === 'string' ? await verifyAssertion(header) : null;
  const forwarded = principal === null ? undefined : lastForwardedFor(request);
  const caller = { address: forwarded ?? withoutMapping(request.socket.remoteAddress ?? 'local'), principal };
  callers.set(request, caller);
  return caller;
}

/** The caller found earlier for the same request. */
export function callerOf(request: IncomingMessage): Caller {
  return (
    callers.get(request) ?? {
      address: withoutMapping(request.socket.remoteAddress ?? 'local'),
      principal: null,
    }
  );
}

function lastForwardedFor(request: IncomingMessage): string | undefined {
  const header = request.headers['x-forwarded-for'];
  const text = Array.isArray(header) ? header.join(',') : header;
  const last = text?.split(',').at(-1)?.trim();
  return last !== undefined && isIP(last) !== 0 ? withoutMapping(last) : undefined;
}

function withoutMapping(address: string): string {
  return address.startsWith('::ffff:') ? address.slice(7) : address;
}
