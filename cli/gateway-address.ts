// Which gateway a command talks to: --gateway, SALLYPORT_URL, what the profile remembers, else loopback.
// Trusts plain HTTP on loopback only, because everything sent there carries a token.
import { CommandFailure } from './failure.ts';
import { exitCodes } from './exit-codes.ts';
import { isProfileName, profileInUse, readProfiles } from './profiles.ts';

/** What the gateway is called when nobody says otherwise. */
export const defaultGateway = 'http://127.0.0.1:8080';

/** A gateway, the profile whose sign-in is used there, and who named it. */
export interface GatewayAddress {
  /** Without a trailing slash; may have a path prefix. */
  readonly gateway: string;
  readonly profile: string;
  readonly namedBy: 'flag' | 'environment' | 'profile' | 'default';
}

/** Finds the gateway and the profile. @throws CommandFailure (usage) when the address is no acceptable URL. */
export function resolveGateway(
  options: { readonly gateway?: string | undefined; readonly profile?: string | undefined },
  env: NodeJS.ProcessEnv = process.env,
): GatewayAddress {
  const profile = options.profile ?? nonEmpty(env['SALLYPORT_PROFILE']) ?? profileInUse(env);
  if (!isProfileName(profile)) {
    throw new CommandFailure(
      exitCodes.usage,
      'A profile name has letters, digits, dots, dashes and underscores.',
    );
  }
  if (options.gateway !== undefined)
    return { gateway: checkedUrl(options.gateway, '--gateway', env), profile, namedBy: 'flag' };
  const fromEnvironment = nonEmpty(env['SALLYPORT_URL']);
  if (fromEnvironment !== undefined) {
    return { gateway: checkedUrl(fromEnvironment, 'SALLYPORT_URL', env), profile, namedBy: 'environment' };
  }
  const remembered = readProfiles(env)[profile]?.gateway;
  if (remembered !== undefined) {
    return { gateway: checkedUrl(remembered, `profile ${profile}`, env), profile, namedBy: 'profile' };
  }
  return { gateway: defaultGateway, profile, namedBy: 'default' };
}

/** Whether a URL's host is this machine: 127.0.0.0/8, ::1 or localhost. */
export function isLoopbackUrl(url: URL): boolean {
  const { hostname } = url;
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname);
}

/** Whether tokens may travel to this URL: https, or http on loopback, or http after an explicit permission. */
export function isProtectedUrl(url: URL, env: NodeJS.ProcessEnv = process.env): boolean {
  if (url.protocol === 'https:') return true;
  return url.protocol === 'http:' && (isLoopbackUrl(url) || env['SALLYPORT_INSECURE_HTTP'] === '1');
}

function checkedUrl(text: string, where: string, env: NodeJS.ProcessEnv): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (
    url === null ||
    !/^https?:$/.test(url.protocol) ||
    url.username !== '' ||
    url.search !== '' ||
    url.hash !== ''
  ) {
    throw new CommandFailure(exitCodes.usage, `The gateway address from ${where} is no plain http(s) URL.`, {
      hints: [`For example:  --gateway ${defaultGateway}`],
    });
  }
  if (!isProtectedUrl(url, env)) {
    throw new CommandFailure(
      exitCodes.usage,
      `${url.origin} is plain HTTP beyond this machine: everybody on the way could read your token.`,
      {
        hints: ['Use https, or accept that with SALLYPORT_INSECURE_HTTP=1.'],
      },
    );
  }
  return `${url.origin}${url.pathname.replace(/\/+$/, '')}`;
}

function nonEmpty(value: string | undefined): string | undefined {
  return value === '' ? undefined : value;
}
