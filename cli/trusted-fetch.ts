// fetch for one gateway and its issuer: an extra certificate authority where one is given, no redirects ever,
// because a redirect would carry a token to another origin.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../core/package.ts';
import { exitCodes } from './exit-codes.ts';
import { CommandFailure } from './failure.ts';
import { isLoopbackUrl } from './gateway-address.ts';
import { readProfiles } from './profiles.ts';

/** The part of fetch that the command line uses. */
export type Fetch = (url: string, init?: RequestInit) => Promise<Response>;

/**
 * The certificate authority to trust beside the system's: --ca, SALLYPORT_CA, the one of the sign-in, else the local
 * authority that `npm start -- --tls` made in this project (in the current folder only for a gateway on this machine).
 */
export function findCertificateAuthority(
  { gateway, profile }: { readonly gateway: string; readonly profile: string },
  given: string | undefined,
  env: NodeJS.ProcessEnv = process.env,
): string | undefined {
  const url = new URL(gateway);
  if (url.protocol !== 'https:') return undefined;
  const named = given ?? env['SALLYPORT_CA'];
  if (named !== undefined && named !== '') {
    if (!existsSync(named))
      throw new CommandFailure(exitCodes.usage, `There is no certificate authority file ${named}.`);
    return named;
  }
  const remembered = readProfiles(env)[profile];
  const candidates = [
    ...(remembered?.gateway === gateway && remembered.ca !== undefined ? [remembered.ca] : []),
    ...(isLoopbackUrl(url) ? [join(process.cwd(), 'data/tls/ca.pem')] : []),
    join(packageRoot, 'data/tls/ca.pem'),
  ];
  return candidates.find((candidate) => existsSync(candidate));
}

/** Makes the fetch; undici's own package is loaded only where a certificate authority must be added. */
export async function createTrustedFetch(certificateAuthority: string | undefined): Promise<Fetch> {
  if (certificateAuthority === undefined) return (url, init) => fetch(url, { ...init, redirect: 'manual' });
  const { Agent, fetch: undiciFetch } = await import('undici');
  const { rootCertificates, getCACertificates } = await import('node:tls');
  const extra = typeof getCACertificates === 'function' ? getCACertificates('extra') : [];
  const dispatcher = new Agent({
    connect: { ca: [...rootCertificates, ...extra, readFileSync(certificateAuthority, 'utf8')] },
  });
  // Border: undici's fetch and Response are the global ones in another typing.
  const withAgent = undiciFetch as unknown as (url: string, init: object) => Promise<Response>;
  return (url, init) => withAgent(url, { ...init, redirect: 'manual', dispatcher });
}
