// The parts of an exchange that authorize and guard read, for tests of those stages without a server.
import { noRules, type Authorization, type Rules } from '../../gateway/authorize/index.ts';
import { newOutcome, type Limited, type Outcome } from '../../gateway/exchange.ts';
import type { Guards } from '../../gateway/guard/index.ts';
import type { Route } from '../../gateway/policies/routes.ts';
import type { Principal } from '../../gateway/principal.ts';

export function principalWith(part: {
  roles?: readonly string[];
  groups?: readonly string[];
  issuerName?: string;
  clientId?: string | null;
  subject?: string;
  scopes?: readonly string[];
  acr?: string | null;
  amr?: readonly string[];
  authTime?: number | null;
  claims?: Readonly<Record<string, unknown>>;
}): Principal {
  return {
    issuerName: part.issuerName ?? 'embedded',
    issuer: 'http://issuer.test',
    subject: part.subject ?? 'alice',
    key: 'http://issuer.test alice',
    clientId: part.clientId === undefined ? 'cli' : part.clientId,
    tenantId: null,
    roles: new Set(part.roles ?? []),
    groups: new Set(part.groups ?? []),
    scopes: new Set(part.scopes ?? []),
    acr: part.acr ?? null,
    amr: part.amr ?? [],
    authTime: part.authTime ?? null,
    credential: { kind: 'access_token', id: null, issuedAt: null },
    binding: null,
    expiresAt: 4_000_000_000,
    claims: part.claims ?? {},
  };
}

export function routeWith(part: Partial<Route>): Route {
  return {
    name: 'chat',
    kind: 'openai',
    path: '/v1/chat/completions',
    methods: new Set(['POST']),
    action: 'chat.completions.create',
    surface: 'openai',
    upstreamPath: '/v1/chat/completions',
    upstream: null,
    limits: [],
    guards: [],
    anonymous: false,
    requiresBoundToken: false,
    maxBodyBytes: 1_048_576,
    ...part,
  };
}

export interface RequestParts {
  readonly route: Route;
  readonly principal?: Principal;
  readonly model?: string | null;
  readonly models?: readonly string[];
  readonly authorization?: Authorization;
  readonly rules?: Rules;
  readonly callerAddress?: string;
  readonly now?: number;
  readonly guards?: Guards;
  readonly body?: Readonly<Record<string, unknown>> | null;
  readonly headers?: Readonly<Record<string, string>>;
}

/** An exchange that has come to the stage under test; only what authorize and guard read is there. */
export function requestWith(parts: RequestParts): Limited {
  const outcome: Outcome = { ...newOutcome(), model: parts.model ?? null };
  const body = parts.body ?? null;
  return {
    route: parts.route,
    request: { headers: parts.headers ?? {} },
    principal: parts.principal ?? principalWith({}),
    model: parts.model ?? null,
    body: body === null ? null : { bytes: Buffer.from(JSON.stringify(body)), json: body },
    outcome,
    effective: {
      roles: new Set(),
      decidedBy: 'roles.User',
      visibleModels: [],
      obligations: null,
      upstreamHeaders: [],
    },
    callerAddress: parts.callerAddress ?? '192.0.2.7',
    receivedAt: parts.now ?? Date.parse('2026-01-07T12:00:00Z'),
    snapshot: {
      models: new Map((parts.models ?? []).map((model) => [model, 'embedded'])),
      authorization: parts.authorization,
      rules: parts.rules ?? noRules,
      guards: parts.guards,
    },
  } as unknown as Limited; // The stages under test read nothing else.
}
