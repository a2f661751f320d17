// The one normalised request target. Nothing is decoded or repaired: a target that two parsers could read differently
// is refused, so what is matched is what is forwarded (security statements 3.3, path table).
import { GatewayError } from '../core/errors.ts';
import type { RequestTarget } from './exchange.ts';

const pathCharacters = /^\/[A-Za-z0-9/._~:@!$&'()*+,=-]*$/;
const queryCharacters = /^[A-Za-z0-9/._~:@!$&'()*+,=?%-]*$/;
const maxTargetLength = 8192;

/**
 * Splits and checks the request target.
 * Checks: origin form, RFC 3986 characters, no percent-encoding, `//`, dot segments, `;`, `\` or `#` in the path.
 * Does not check: whether a route exists (policies/routes.ts) or what the query says (authenticate).
 * @throws GatewayError `malformed_request`
 */
export function parseTarget(url: string): RequestTarget {
  if (url.length > maxTargetLength) throw refused('the request target is too long');
  const mark = url.indexOf('?');
  const path = mark === -1 ? url : url.slice(0, mark);
  const query = mark === -1 ? '' : url.slice(mark + 1);
  if (!pathCharacters.test(path))
    throw refused('the path holds a character or an encoding that is not accepted');
  if (path.includes('//')) throw refused('the path holds an empty segment');
  // No segment begins with a dot, which covers `.` and `..`; RFC 8615 is the exception.
  if (path.includes('/.') && (!path.startsWith('/.well-known/') || path.includes('/.', 1))) {
    throw refused('the path holds a dot segment');
  }
  if (!queryCharacters.test(query)) throw refused('the query holds a character that is not accepted');
  return { path, query };
}

function refused(problem: string): GatewayError {
  return new GatewayError('malformed_request', { params: { problem }, reason: 'request_target' });
}
