// SPIFFE ids: `spiffe://trust-domain/path`, strictly as the SPIFFE standard spells them, so that one id has one text.

/** An id in its parts. */
export interface SpiffeId {
  readonly trustDomain: string;
  /** With its first slash; empty for the id of a trust domain. */
  readonly path: string;
}

/** What a trust domain is written with. */
export const trustDomainForm = /^[a-z0-9._-]{1,255}$/;
const segment = /^[A-Za-z0-9._-]+$/;

/** The id, or null for a text that is none. */
export function parseSpiffeId(text: string): SpiffeId | null {
  // SPIFFE-ID §2.3: an id is at most 2048 bytes long.
  if (text.length > 2_048 || !text.startsWith('spiffe://')) return null;
  const [trustDomain = '', ...segments] = text.slice('spiffe://'.length).split('/');
  // SPIFFE-ID §2.1: no port, no user, lower case.
  if (!trustDomainForm.test(trustDomain) || !segments.every(isSegment)) return null;
  return { trustDomain, path: segments.map((each) => `/${each}`).join('') };
}

// SPIFFE-ID §2.2: no empty and no relative segments, no percent-encoding, hence no slash at the end.
function isSegment(text: string): boolean {
  return segment.test(text) && text !== '.' && text !== '..';
}

/** Whether a text can be a pattern for paths: segments, `*` for any one, `**` at the end for one or more. */
export function isPathPattern(pattern: string): boolean {
  if (!pattern.startsWith('/')) return false;
  const segments = pattern.slice(1).split('/');
  return segments.every(
    (each, index) => isSegment(each) || each === '*' || (each === '**' && index === segments.length - 1),
  );
}

/** The test that a path pattern stands for. */
export function pathMatcher(pattern: string): (path: string) => boolean {
  const wanted = pattern.slice(1).split('/');
  const isOpen = wanted.at(-1) === '**';
  return (path) => {
    const given = path.slice(1).split('/');
    if (isOpen ? given.length < wanted.length : given.length !== wanted.length) return false;
    return wanted.every((each, index) => each === '*' || each === '**' || each === given[index]);
  };
}
