// Where an upstream listens, as written in the configuration.

/** An origin for the request line, and a Unix socket if it is one. */
export interface UpstreamAddress {
  readonly origin: string;
  readonly socketPath: string | null;
  readonly basePath: string;
}

/** Takes `unix:path`, `http://host:port/prefix` or `https://…` apart. @throws Error with what is wrong, without the URL */
export function parseUpstreamUrl(url: string): UpstreamAddress {
  if (/^unix:./.test(url))
    return { origin: 'http://localhost', socketPath: url.slice('unix:'.length), basePath: '' };
  if (!/^https?:\/\//.test(url) || !URL.canParse(url))
    throw new Error('an upstream is unix:path, http://… or https://…');
  const parsed = new URL(url);
  if (parsed.username !== '' || parsed.password !== '')
    throw new Error('credentials belong into api_key, not into the URL');
  if (parsed.search !== '' || parsed.hash !== '')
    throw new Error('the URL of an upstream has no query and no fragment');
  return { origin: parsed.origin, socketPath: null, basePath: parsed.pathname.replace(/\/+$/, '') };
}
