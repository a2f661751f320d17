// The OpenAPI 3.1 document: every public endpoint, made from the routes that are in force, so that it cannot promise
// what is not there.
import { errorCatalogue, type ErrorCode } from '../../core/errors.ts';
import { accessMetadataPath, operationOf as accessOperationOf } from '../access/endpoints.ts';
import type { Route } from '../policies/routes.ts';
import type { ControlDependencies } from './control-dependencies.ts';
import type { IssuerEndpoints } from './issuer-endpoints.ts';
import { accessOperations, accessSchemas } from './openapi-access.ts';
import { openApiSchemas } from './openapi-schemas.ts';

type Json = Readonly<Record<string, unknown>>;

/** What a route of this action takes and gives. */
interface Operation {
  readonly summary: string;
  readonly tag: 'Models' | 'Accounts' | 'Decisions';
  readonly request?: string;
  readonly answer?: string;
  readonly form?: true;
}

const operations: Readonly<Record<string, Operation>> = {
  'chat.completions.create': {
    summary: 'Continue a conversation',
    tag: 'Models',
    request: 'ChatCompletionRequest',
    answer: 'Completion',
  },
  'completions.create': {
    summary: 'Continue a text',
    tag: 'Models',
    request: 'CompletionRequest',
    answer: 'Completion',
  },
  'embeddings.create': {
    summary: 'Turn texts into vectors',
    tag: 'Models',
    request: 'EmbeddingRequest',
    answer: 'EmbeddingList',
  },
  'models.list': { summary: 'Models that you may use', tag: 'Models', answer: 'ModelList' },
  'accounts.register': { summary: 'Register an account', tag: 'Accounts', request: 'Registration' },
  'accounts.token': {
    summary: 'Get an access token for a password (local test client only)',
    tag: 'Accounts',
    request: 'PasswordGrant',
    answer: 'IssuedToken',
    form: true,
  },
  'admin.revocations.create': {
    summary: 'Revoke a credential, or all credentials of a principal (administrators)',
    tag: 'Accounts',
    request: 'RevocationRequest',
    answer: 'Revocation',
  },
  'admin.users.list': { summary: 'List the accounts (administrators)', tag: 'Accounts' },
  'api_keys.list': { summary: 'List your API keys', tag: 'Accounts', answer: 'ApiKeyList' },
  'api_keys.create': {
    summary: 'Make an API key; its text is shown in this answer only',
    tag: 'Accounts',
    request: 'WantedApiKey',
    answer: 'NewApiKey',
  },
  'api_keys.revoke': { summary: 'Revoke one of your API keys', tag: 'Accounts', answer: 'ApiKey' },
  'admin.api_keys.list': {
    summary: 'List all API keys (administrators)',
    tag: 'Accounts',
    answer: 'ApiKeyList',
  },
  'admin.api_keys.revoke': {
    summary: 'Revoke any API key (administrators)',
    tag: 'Accounts',
    answer: 'ApiKey',
  },
  'admin.relations.list': {
    summary: 'List the relations (administrators)',
    tag: 'Accounts',
    answer: 'Relations',
  },
  'admin.relations.change': {
    summary: 'Add and remove relations (administrators)',
    tag: 'Accounts',
    request: 'RelationsChange',
    answer: 'RelationsChanged',
  },
};
const generate: Operation = {
  summary: 'Continue a prompt (tutorial form)',
  tag: 'Models',
  request: 'GenerateRequest',
  answer: 'Generated',
};
const oneModel: Operation = { summary: 'One model', tag: 'Models', answer: 'Model' };

/** The document for the policies now in force; without the issuer's endpoints the Authorize button takes a token. */
export function openApiDocument(deps: ControlDependencies, endpoints: IssuerEndpoints | null): Json {
  const { routes, authentication } = deps.current();
  const paths: Record<string, Record<string, Json>> = {};
  for (const route of routes.routes) {
    for (const method of route.methods)
      (paths[route.path] ??= {})[method.toLowerCase()] = routeOperation(route, method);
  }
  Object.assign(paths, controlPaths);
  return {
    openapi: '3.1.0',
    ['info']: {
      title: 'Sallyport',
      version: '1',
      description: 'The OpenAI API behind a guarded door. Sign in with *Authorize*, then try any endpoint.',
    },
    servers: [{ url: deps.services.publicUrl }],
    tags: [
      { name: 'Models' },
      { name: 'Azure-style paths', description: 'The same under the paths of Azure OpenAI.' },
      { name: 'Accounts' },
      { name: 'Decisions', description: 'For other services, over OpenID AuthZEN 1.0.' },
      { name: 'Gateway' },
    ],
    security: [securityRequirement(endpoints, authentication.scopesSupported)],
    paths,
    components: {
      schemas: { ...openApiSchemas, ...accessSchemas },
      securitySchemes: securitySchemes(endpoints, authentication.scopesSupported),
    },
  };
}

function securityRequirement(endpoints: IssuerEndpoints | null, scopes: readonly string[]): Json {
  return endpoints === null ? { accessToken: [] } : { signIn: scopes };
}

function securitySchemes(endpoints: IssuerEndpoints | null, scopes: readonly string[]): Json {
  const accessToken = {
    type: 'http',
    scheme: 'bearer',
    description: 'An access token, e.g. from `sallyport token`.',
  };
  if (endpoints === null) return { accessToken };
  const authorizationCode = {
    authorizationUrl: endpoints.authorizationEndpoint,
    tokenUrl: endpoints.tokenEndpoint,
    scopes: { ...Object.fromEntries(scopes.map((scope) => [scope, 'Use this gateway'])), openid: 'Sign in' },
  };
  return { signIn: { type: 'oauth2', flows: { authorizationCode } } };
}

function routeOperation(route: Route, method: string): Json {
  const parameters = ['model', 'id']
    .filter((name) => route.path.includes(`{${name}}`))
    .map((name) => ({ name, in: 'path', required: true, schema: { type: 'string' } }));
  const operation = operationOf(route, route.path.includes('{model}'));
  const body =
    operation?.request === undefined
      ? {}
      : { requestBody: requestBody(operation.request, operation.form === true) };
  return {
    operationId: `${route.name}.${method.toLowerCase()}`,
    summary: operation?.summary ?? route.action,
    tags: [route.path.startsWith('/openai/') ? 'Azure-style paths' : (operation?.tag ?? 'Accounts')],
    ...(parameters.length > 0 ? { parameters } : {}),
    ...(route.anonymous ? { security: [] } : {}),
    ...body,
    responses: { '2XX': answer('Done.', operation?.answer), ...refusals(route) },
  };
}

function operationOf(route: Route, namesModel: boolean): Operation | undefined {
  if (route.kind === 'generate') return generate;
  if (route.kind === 'decision') {
    const decided = accessOperationOf(route.path);
    return decided === null ? undefined : accessOperations[decided];
  }
  if (route.action === 'models.list' && namesModel) return oneModel;
  return operations[route.action];
}

function requestBody(schema: string, form: boolean): Json {
  const content = { schema: { $ref: `#/components/schemas/${schema}` } };
  // The password form of the tutorials is a form; everything else is JSON.
  return {
    required: true,
    content: form
      ? { 'application/x-www-form-urlencoded': content, 'application/json': content }
      : { 'application/json': content },
  };
}

function answer(description: string, schema: string | undefined): Json {
  if (schema === undefined) return { description };
  return {
    description,
    content: { 'application/json': { schema: { $ref: `#/components/schemas/${schema}` } } },
  };
}

const always: readonly ErrorCode[] = [
  'malformed_request',
  'rate_limit_exceeded',
  'insufficient_quota',
  'internal_error',
  'limit_store_unavailable',
  'audit_unavailable',
  'gateway_stopping',
];
const withCredential: readonly ErrorCode[] = [
  'missing_credentials',
  'invalid_request',
  'invalid_token',
  'credential_revoked',
  'insufficient_scope',
  'access_denied',
  'issuer_unavailable',
  'directory_unavailable',
];
const withBody: readonly ErrorCode[] = ['body_invalid', 'body_too_large'];
const withUpstream: readonly ErrorCode[] = [
  'upstream_unavailable',
  'upstream_invalid_response',
  'upstream_timeout',
  'server_is_overloaded',
];
const withModel: readonly ErrorCode[] = [
  'model_not_found',
  'content_blocked',
  'parameter_above_ceiling',
  'context_length_exceeded',
];

/** Kinds of routes that reach no upstream. */
const answeredHere: readonly Route['kind'][] = ['models', 'revocations', 'shadow', 'decision'];

/** One response for each status, with the codes that it can carry. */
function refusals(route: Route): Json {
  const codes = [
    ...always,
    ...(route.anonymous ? [] : withCredential),
    ...(route.methods.has('POST') ? withBody : []),
    ...(route.methods.has('POST') && route.kind !== 'decision' ? (['unsupported_media_type'] as const) : []),
    ...(answeredHere.includes(route.kind) ? [] : withUpstream),
    ...(route.kind === 'revocations' ? (['revocation_unavailable'] as const) : []),
    ...(route.kind === 'openai' || route.kind === 'generate' ? withModel : []),
  ];
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of codes) {
    const { status } = errorCatalogue[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  const openAi = route.surface === 'openai';
  const content = {
    [openAi ? 'application/json' : 'application/problem+json']: {
      schema: { $ref: `#/components/schemas/${openAi ? 'OpenAiError' : 'Problem'}` },
    },
  };
  return Object.fromEntries(
    [...byStatus]
      .sort(([a], [b]) => a - b)
      .map(([status, listed]) => [
        String(status),
        { description: listed.map((code) => `\`${code}\``).join(', '), content },
      ]),
  );
}

const open = { tags: ['Gateway'], security: [] };

/** What the control surface answers. */
const controlPaths: Readonly<Record<string, Record<string, Json>>> = {
  '/healthz': {
    get: {
      ...open,
      operationId: 'healthz',
      summary: 'Is the process alive',
      responses: { '200': answer('It is.', 'Health') },
    },
  },
  '/readyz': {
    get: {
      ...open,
      operationId: 'readyz',
      summary: 'Is every dependency ready',
      responses: {
        '200': answer('Ready, or degraded but serving.', 'Readiness'),
        '503': answer('Not ready.', 'Readiness'),
      },
    },
  },
  [accessMetadataPath]: {
    get: {
      ...open,
      operationId: 'accessMetadata',
      summary: 'Where other services ask for decisions (AuthZEN)',
      responses: { '200': answer('The metadata.', undefined) },
    },
  },
  '/.well-known/oauth-protected-resource': {
    get: {
      ...open,
      operationId: 'protectedResource',
      summary: 'Whose tokens are accepted (RFC 9728)',
      responses: { '200': answer('The metadata.', 'ProtectedResource') },
    },
  },
};
