// The checks of `sallyport doctor`, in the order of a request's way: runtime, gateway, TLS, clocks, discovery, sign-in,
// readiness, models, and that the model server answers nobody but the gateway.
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { request as httpRequest } from '../core/node-http.ts';
import { packageRoot } from '../core/package.ts';
import { connect, type Connection, type ConnectionOptions } from './connection.ts';
import { CommandFailure } from './failure.ts';
import { listModels } from './gateway-call.ts';
import { oldNodeMessage } from './node-version.ts';
import {
  discoverIssuer,
  discoverProtectedResource,
  tlsFailure,
  unreachableGateway,
} from './sign-in/discovery.ts';
import { loginWords } from './sign-in/renewal.ts';
import { readSession, sessionFile, type Session } from './sign-in/session-file.ts';
import { fromNow, homeRelative, printable } from './wording.ts';

/** The outcome of one check; member names as in `doctor --json`. */
export interface Finding {
  readonly check: string;
  readonly status: 'ok' | 'problem' | 'skipped';
  readonly detail: string;
  readonly repair: string | null;
}

const patience = (): AbortSignal => AbortSignal.timeout(10_000);
/** The gateway's shipped policies allow 60 s; half of it is worth saying. */
const skewLimitSeconds = 30;

/** Runs all checks; each finding is yielded as soon as it is known. */
export async function* examine(options: ConnectionOptions): AsyncGenerator<Finding, void> {
  yield checkRuntime();
  let connection: Connection;
  try {
    connection = await connect(options);
  } catch (error) {
    yield problem('gateway', error);
    return;
  }
  const { address } = connection;
  const health = await attempt(() => reach(connection, '/healthz'));
  if (health.failure !== null) {
    yield problem('gateway', health.failure);
    yield skipped('the rest', 'needs the gateway');
  } else {
    yield ok('gateway', `${address.gateway} answers (${namedBy[address.namedBy]})`);
    yield checkTransport(connection);
    yield checkClock('gateway clock', health.value);
    yield* checkIssuer(connection);
    yield* checkReadiness(connection);
  }
  yield* checkSession(connection, health.failure === null);
  yield await checkModelServer();
}

const namedBy = {
  flag: '--gateway',
  environment: 'SALLYPORT_URL',
  profile: 'the profile',
  default: 'the default',
} as const;

function checkRuntime(): Finding {
  const tooOld = oldNodeMessage(process.versions.node) !== null;
  const detail = `Node ${process.versions.node}, ${homeRelative(process.execPath)}`;
  return tooOld
    ? { check: 'runtime', status: 'problem', detail, repair: 'run  npm ci  in the project folder' }
    : ok('runtime', detail);
}

function checkTransport({ address, certificateAuthority }: Connection): Finding {
  if (!address.gateway.startsWith('https:')) return ok('transport', 'plain HTTP, for this machine only');
  return ok(
    'transport',
    certificateAuthority === undefined
      ? 'TLS, trusted by the system'
      : `TLS, trusted by ${homeRelative(certificateAuthority)}`,
  );
}

function checkClock(check: string, response: Response): Finding {
  const date = Date.parse(response.headers.get('date') ?? '');
  if (Number.isNaN(date)) return skipped(check, 'it does not tell the time');
  // A Date header counts whole seconds.
  const skew = Math.max(0, Math.abs(date + 500 - Date.now()) / 1000 - 0.5);
  if (skew <= skewLimitSeconds)
    return ok(check, `differs by ${skew < 2 ? 'less than 2 s' : `${Math.round(skew)} s`}`);
  const detail = `differs from this machine by ${Math.round(skew)} s`;
  return {
    check,
    status: 'problem',
    detail,
    repair: 'set both clocks by NTP; tokens are refused beyond 60 s',
  };
}

async function* checkIssuer({ address, fetch }: Connection): AsyncGenerator<Finding, void> {
  const resource = await attempt(() => discoverProtectedResource(address.gateway, fetch));
  if (resource.failure !== null) {
    yield problem('discovery', resource.failure);
    return;
  }
  const { issuer } = resource.value;
  const metadata = await attempt(() => discoverIssuer(issuer, fetch));
  if (metadata.failure !== null) {
    yield problem('discovery', metadata.failure);
    return;
  }
  const hasDeviceCode = metadata.value.device_authorization_endpoint !== undefined;
  yield ok('discovery', `issuer ${printable(issuer)}${hasDeviceCode ? '' : ', no device code'}`);
  const keys = metadata.value.jwks_uri;
  if (keys === undefined) return;
  const answer = await attempt(() => fetch(keys, { signal: patience() }));
  if (answer.failure === null) yield checkClock('issuer clock', answer.value);
  else yield problem('issuer clock', answer.failure, 'the keys of the issuer cannot be fetched');
}

async function* checkReadiness(connection: Connection): AsyncGenerator<Finding, void> {
  const answer = await attempt(() => reach(connection, '/readyz'));
  if (answer.failure !== null) {
    yield problem('ready', answer.failure);
    return;
  }
  const reasons = printable((await answer.value.text().catch(() => '')).trim().replaceAll(/\s+/g, ' ')).slice(
    0,
    300,
  );
  if (answer.value.ok) yield ok('ready', 'every dependency of the gateway answers');
  else
    yield {
      check: 'ready',
      status: 'problem',
      detail: `status ${answer.value.status}: ${reasons}`,
      repair: 'see the log of the gateway; it names the dependency',
    };
}

async function* checkSession(connection: Connection, isReachable: boolean): AsyncGenerator<Finding, void> {
  const { address } = connection;
  const stored = await attempt(() => Promise.resolve(readSession(address)));
  if (stored.failure !== null) {
    yield problem('sign-in', stored.failure);
    return;
  }
  if (stored.value === null) {
    yield {
      check: 'sign-in',
      status: 'problem',
      detail: `nobody is signed in to ${address.gateway}`,
      repair: `sallyport ${loginWords(address)}`,
    };
    return;
  }
  const session = isReachable ? await attempt(connection.session) : { value: stored.value, failure: null };
  if (session.failure !== null) {
    yield problem('sign-in', session.failure);
    return;
  }
  yield ok('sign-in', sessionDetail(session.value));
  if (!isReachable) return;
  const models = await attempt(() => listModels(connection, { neverAsks: true }));
  if (models.failure !== null) yield problem('models', models.failure);
  else if (models.value.models.length === 0)
    yield {
      check: 'models',
      status: 'problem',
      detail: 'you may use none',
      repair: 'an administrator grants the role LLM.User',
    };
  else yield ok('models', models.value.models.join(', '));
}

function sessionDetail(session: Session): string {
  const name = printable(session.username ?? session.subject ?? 'unnamed');
  return `${name}, token expires ${fromNow(session.expires_at)}, ${homeRelative(sessionFile(session))}`;
}

/** The embedded model server must refuse whoever is not the gateway, also on this machine. */
async function checkModelServer(): Promise<Finding> {
  const check = 'model server';
  const socket = [join(process.cwd(), 'data/run/model.sock'), join(packageRoot, 'data/run/model.sock')].find(
    (path) => existsSync(path),
  );
  if (socket === undefined) return skipped(check, 'not on this machine, or not in this folder');
  const mode = statSync(socket).mode & 0o777;
  if ((mode & 0o077) !== 0) {
    return {
      check,
      status: 'problem',
      detail: `others can open its socket (mode ${mode.toString(8)})`,
      repair: `chmod 600 '${socket}'`,
    };
  }
  const answer = await attempt(() => askSocket(socket));
  if (answer.failure !== null) return skipped(check, `${homeRelative(socket)} does not answer`);
  if (answer.value === 401 || answer.value === 403)
    return ok(check, `refuses everybody but the gateway (status ${answer.value} without its assertion)`);
  return {
    check,
    status: 'problem',
    detail: `it answers without the gateway's assertion (status ${answer.value})`,
    repair: 'stop it, and report this',
  };
}

function askSocket(socketPath: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      { socketPath, path: '/v1/models', headers: { host: 'localhost' }, timeout: 5_000, agent: false },
      (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      },
    );
    request.on('timeout', () => request.destroy(new Error('timeout')));
    request.on('error', reject);
    request.end();
  });
}

async function reach({ address, fetch }: Connection, path: string): Promise<Response> {
  try {
    return await fetch(`${address.gateway}${path}`, {
      headers: { accept: 'application/json' },
      signal: patience(),
    });
  } catch (error) {
    throw tlsFailure(error, address.gateway) ?? unreachableGateway(address.gateway);
  }
}

type Attempt<Value> =
  { readonly value: Value; readonly failure: null } | { readonly value: null; readonly failure: Error };

async function attempt<Value>(work: () => Promise<Value>): Promise<Attempt<Value>> {
  try {
    return { value: await work(), failure: null };
  } catch (error) {
    return { value: null, failure: error instanceof Error ? error : new Error(String(error)) };
  }
}

function ok(check: string, detail: string): Finding {
  return { check, status: 'ok', detail, repair: null };
}

function skipped(check: string, detail: string): Finding {
  return { check, status: 'skipped', detail, repair: null };
}

function problem(check: string, error: unknown, detail?: string): Finding {
  const known = error instanceof CommandFailure ? error : null;
  return {
    check,
    status: 'problem',
    detail: detail ?? known?.message ?? 'no answer',
    repair: known?.hints[0] ?? null,
  };
}
