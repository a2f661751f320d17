// `sallyport token`: the access token and a newline on stdout, nothing else there; never a prompt, never a browser.
// With a valid stored token it does no network and loads neither an OAuth nor a JWT library.
import { InvalidArgumentError, type Command } from 'commander';
import { withConnectionOptions, type ConnectionOptions } from '../connection.ts';
import { resolveGateway } from '../gateway-address.ts';
import { freshSession } from '../sign-in/renewal.ts';
import { findCertificateAuthority } from '../trusted-fetch.ts';
import { processTerminal } from '../terminal.ts';
import { parseDuration } from '../wording.ts';

interface TokenOptions extends ConnectionOptions {
  readonly minTtl?: number;
  readonly json?: boolean;
}

/** Adds `token` to the tree. */
export function registerTokenCommand(program: Command): void {
  withConnectionOptions(program.command('token'))
    .description('Print a valid access token and a newline; renewed when needed, never prompting.')
    .addHelpText(
      'before',
      'Example:\n  OPENAI_API_KEY=$(sallyport token) ./my-program\n  sallyport token --min-ttl 30m\n',
    )
    .option('--min-ttl <duration>', 'renew unless valid for this long, e.g. 90s, 30m, 2h', durationArgument)
    .option('--json', 'access_token, expires_at (epoch seconds), issuer, subject, scopes')
    .action(printToken);
}

async function printToken(options: TokenOptions): Promise<void> {
  const terminal = processTerminal();
  const address = resolveGateway(options);
  const session = await freshSession({
    address,
    minTtlSeconds: options.minTtl,
    certificateAuthority: findCertificateAuthority(address, options.ca),
  });
  if (options.json !== true) {
    terminal.write(`${session.access_token}\n`);
    return;
  }
  terminal.json({
    access_token: session.access_token,
    expires_at: session.expires_at,
    issuer: session.issuer,
    subject: session.subject,
    scopes: session.scope.split(' ').filter((scope) => scope !== ''),
  });
}

function durationArgument(text: string): number {
  const seconds = parseDuration(text);
  if (seconds === null) throw new InvalidArgumentError('Write it as 90s, 30m or 2h.');
  return seconds;
}
