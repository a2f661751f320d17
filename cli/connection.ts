// The options that every command with a gateway shares, and what they lead to.
import type { Command } from 'commander';
import { resolveGateway, type GatewayAddress } from './gateway-address.ts';
import { freshSession } from './sign-in/renewal.ts';
import type { Session } from './sign-in/session-file.ts';
import { createTrustedFetch, findCertificateAuthority, type Fetch } from './trusted-fetch.ts';

/** Parsed form of the shared options. */
export interface ConnectionOptions {
  readonly gateway?: string;
  readonly profile?: string;
  readonly ca?: string;
}

/** Adds --gateway, --profile and --ca to a command. */
export function withConnectionOptions(command: Command): Command {
  return command
    .option('--gateway <url>', 'the gateway (or SALLYPORT_URL, or the last one)')
    .option('--profile <name>', 'which stored sign-in (or SALLYPORT_PROFILE)')
    .option('--ca <file>', 'trust this certificate authority (or SALLYPORT_CA)');
}

/** A gateway that a command can call. */
export interface Connection {
  readonly address: GatewayAddress;
  readonly certificateAuthority: string | undefined;
  readonly fetch: Fetch;
  /** A session whose access token is valid for a while; renews it, never prompts. */
  readonly session: () => Promise<Session>;
}

/** Resolves the shared options. @throws CommandFailure (usage) */
export async function connect(options: ConnectionOptions): Promise<Connection> {
  const address = resolveGateway(options);
  const certificateAuthority = findCertificateAuthority(address, options.ca);
  return {
    address,
    certificateAuthority,
    fetch: await createTrustedFetch(certificateAuthority),
    session: () => freshSession({ address, certificateAuthority }),
  };
}
