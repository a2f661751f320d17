// `sallyport whoami`: who is signed in, with which roles, for which models, until when, from which file.
// Claims are shown as the token has them; what they permit, the gateway says by the models it lists.
import type { Command } from 'commander';
import { connect, withConnectionOptions, type Connection, type ConnectionOptions } from '../connection.ts';
import { listModels } from '../gateway-call.ts';
import { showClaims } from '../sign-in/access-token-claims.ts';
import { sessionFile, type Session } from '../sign-in/session-file.ts';
import { processTerminal } from '../terminal.ts';
import { fromNow, homeRelative, isoSeconds, longDate, printable } from '../wording.ts';

interface WhoamiOptions extends ConnectionOptions {
  readonly json?: boolean;
}

/** Adds `whoami` to the tree. */
export function registerWhoamiCommand(program: Command): void {
  withConnectionOptions(program.command('whoami'))
    .description('Show who is signed in: subject, issuer, roles, models, limits left, expiry.')
    .addHelpText('before', 'Example:\n  sallyport whoami\n  sallyport whoami --json | jq .roles\n')
    .option('--json', 'one JSON object')
    .action(whoami);
}

interface GatewayView {
  readonly models: readonly string[] | null;
  readonly limit: { readonly limit: number; readonly remaining: number } | null;
  readonly failure: Error | null;
}

async function whoami(options: WhoamiOptions): Promise<void> {
  const terminal = processTerminal();
  const connection = await connect(options);
  const session = await connection.session();
  const view = await askGateway(connection);
  if (options.json === true) terminal.json(jsonView(session, view));
  else for (const line of textView(session, view)) terminal.write(`${line}\n`);
  if (view.failure !== null) throw view.failure;
}

/** What the gateway says; a failure is kept, because the rest is still worth showing. */
async function askGateway(connection: Connection): Promise<GatewayView> {
  try {
    const { models, headers } = await listModels(connection);
    const [limit, remaining] = ['x-ratelimit-limit-requests', 'x-ratelimit-remaining-requests'].map((name) =>
      Number(headers.get(name) ?? NaN),
    );
    const known =
      limit !== undefined && remaining !== undefined && Number.isFinite(limit) && Number.isFinite(remaining);
    return { models, limit: known ? { limit, remaining } : null, failure: null };
  } catch (error) {
    return { models: null, limit: null, failure: error instanceof Error ? error : new Error(String(error)) };
  }
}

function textView(session: Session, view: GatewayView): readonly string[] {
  const claims = showClaims(session.access_token);
  const roles =
    claims.roles.length === 0
      ? 'none in the token'
      : `${claims.roles.join(', ')}   (claim roles of the access token)`;
  const groups =
    claims.groups.length === 0
      ? null
      : `${claims.groups.length} (claim groups; the gateway may assign roles by them)`;
  const renewal =
    session.refresh_token === null
      ? 'not renewed: sign in again then'
      : session.refresh_expires_at === null
        ? 'renewed by itself'
        : `renewed by itself until ${longDate(session.refresh_expires_at)}`;
  const rows: readonly (readonly [string, string | null])[] = [
    ['name', session.username],
    ['subject', session.subject ?? 'not named by the issuer'],
    ['issuer', session.issuer],
    ['gateway', session.gateway],
    ['profile', session.profile === 'default' ? null : session.profile],
    ['roles', roles],
    ['groups', groups],
    ['models', view.models === null ? 'unknown: the gateway did not say' : view.models.join(', ') || 'none'],
    ['limit', view.limit && `${view.limit.remaining} of ${view.limit.limit} requests left`],
    ['expires', `${isoSeconds(session.expires_at)} (${fromNow(session.expires_at)}), ${renewal}`],
    ['file', homeRelative(sessionFile(session))],
  ];
  return rows.flatMap(([label, value]) => (value === null ? [] : [`${label.padEnd(9)}${printable(value)}`]));
}

function jsonView(session: Session, view: GatewayView): Record<string, unknown> {
  const claims = showClaims(session.access_token);
  return {
    username: session.username,
    subject: session.subject,
    issuer: session.issuer,
    tenant_id: claims.tenantId,
    client_id: session.client_id,
    gateway: session.gateway,
    profile: session.profile,
    roles: claims.roles.map((role) => ({ role, from: 'claim roles' })),
    groups: claims.groups,
    scopes: claims.scopes,
    models: view.models,
    limit_requests: view.limit,
    expires_at: session.expires_at,
    refresh_expires_at: session.refresh_expires_at,
    renewable: session.refresh_token !== null,
    file: sessionFile(session),
  };
}
