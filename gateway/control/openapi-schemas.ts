// The schemas of the OpenAPI document: what the OpenAI API calls them, as far as the gateway and model server speak it.

type Schema = Readonly<Record<string, unknown>>;

const sampling: Readonly<Record<string, Schema>> = {
  model: { type: 'string', description: 'A model that GET /v1/models lists for you.' },
  stream: {
    type: 'boolean',
    default: false,
    description: 'Answer with server-sent events, the last of which is [DONE].',
  },
  stream_options: { type: 'object', properties: { include_usage: { type: 'boolean' } } },
  max_tokens: { type: 'integer', minimum: 1 },
  temperature: { type: 'number', minimum: 0, maximum: 2, default: 1 },
  top_p: { type: 'number', minimum: 0, maximum: 1, default: 1 },
  n: { type: 'integer', minimum: 1, default: 1 },
  seed: { type: 'integer', description: 'The same seed gives the same text.' },
  stop: { oneOf: [{ type: 'string' }, { type: 'array', items: { type: 'string' }, maxItems: 4 }] },
  presence_penalty: { type: 'number', minimum: -2, maximum: 2, default: 0 },
  frequency_penalty: { type: 'number', minimum: -2, maximum: 2, default: 0 },
};

const textOrTexts: Schema = {
  oneOf: [{ type: 'string' }, { type: 'array', items: { type: 'string' }, minItems: 1 }],
};

const usage: Schema = {
  type: 'object',
  properties: {
    prompt_tokens: { type: 'integer' },
    completion_tokens: { type: 'integer' },
    total_tokens: { type: 'integer' },
  },
};

const instant: Schema = { type: ['string', 'null'], format: 'date-time' };
const apiKey: Readonly<Record<string, Schema>> = {
  id: { type: 'string' },
  name: { type: 'string' },
  roles: { type: 'array', items: { type: 'string' } },
  status: { type: 'string', enum: ['active', 'expired', 'revoked'] },
  created_at: instant,
  expires_at: instant,
  last_used_at: instant,
  revoked_at: instant,
};

const relationTexts: Schema = {
  type: 'array',
  items: { type: 'string', examples: ['model:gpt2#viewer@team:x#member'] },
};

function object(required: readonly string[], properties: Readonly<Record<string, Schema>>): Schema {
  return { type: 'object', required, properties };
}

/** `components.schemas`. */
export const openApiSchemas: Readonly<Record<string, Schema>> = {
  ChatMessage: object(['role', 'content'], {
    role: { type: 'string', enum: ['system', 'user', 'assistant'] },
    content: { type: 'string' },
  }),
  ChatCompletionRequest: object(['model', 'messages'], {
    ...sampling,
    max_completion_tokens: { type: 'integer', minimum: 1 },
    messages: { type: 'array', minItems: 1, items: { $ref: '#/components/schemas/ChatMessage' } },
  }),
  CompletionRequest: object(['model', 'prompt'], { ...sampling, prompt: textOrTexts }),
  EmbeddingRequest: object(['model', 'input'], {
    model: { type: 'string' },
    input: textOrTexts,
    encoding_format: { type: 'string', enum: ['float', 'base64'], default: 'float' },
  }),
  Completion: object(['id', 'object', 'created', 'model', 'choices'], {
    id: { type: 'string' },
    object: { type: 'string' },
    created: { type: 'integer' },
    model: { type: 'string' },
    choices: { type: 'array', items: { type: 'object' } },
    usage,
  }),
  EmbeddingList: object(['object', 'data', 'model', 'usage'], {
    object: { type: 'string', const: 'list' },
    ['data']: { type: 'array', items: { type: 'object' } },
    model: { type: 'string' },
    usage,
  }),
  Model: object(['id', 'object', 'created', 'owned_by'], {
    id: { type: 'string' },
    object: { type: 'string', const: 'model' },
    created: { type: 'integer' },
    owned_by: { type: 'string' },
  }),
  ModelList: object(['object', 'data'], {
    object: { type: 'string', const: 'list' },
    ['data']: { type: 'array', items: { $ref: '#/components/schemas/Model' } },
  }),
  GenerateRequest: object(['prompt'], {
    prompt: { type: 'string' },
    max_length: { type: 'integer', minimum: 1, description: 'Most model tokens to generate.' },
  }),
  Generated: object(['generated_text', 'model', 'model_name'], {
    generated_text: { type: 'string' },
    model: { type: 'string' },
    model_name: { type: 'string' },
  }),
  Registration: object(['username', 'password'], {
    username: { type: 'string' },
    password: { type: 'string', format: 'password' },
    email: { type: 'string', format: 'email' },
    role: { type: 'string', description: 'A privileged role is refused: an administrator grants it.' },
  }),
  PasswordGrant: object(['username', 'password'], {
    grant_type: { type: 'string', const: 'password' },
    username: { type: 'string' },
    password: { type: 'string', format: 'password' },
  }),
  IssuedToken: object(['access_token', 'token_type', 'expires_in'], {
    access_token: { type: 'string' },
    token_type: { type: 'string', const: 'Bearer' },
    expires_in: { type: 'integer' },
  }),
  WantedApiKey: object([], {
    name: { type: 'string', maxLength: 64 },
    expires_in: { type: 'integer', minimum: 60, description: 'Seconds; 90 days unless stated.' },
    roles: {
      type: 'array',
      items: { type: 'string' },
      description: 'Some of your roles; all but LLM.Admin unless stated.',
    },
  }),
  ApiKey: object(Object.keys(apiKey), apiKey),
  NewApiKey: object([...Object.keys(apiKey), 'key'], {
    ...apiKey,
    key: { type: 'string', description: 'The key itself, sent as an access token is.' },
  }),
  ApiKeyList: { type: 'array', items: { $ref: '#/components/schemas/ApiKey' } },
  Relations: object(['tuples'], { tuples: relationTexts }),
  RelationsChange: object([], { add: relationTexts, remove: relationTexts }),
  RelationsChanged: object(['added', 'removed'], {
    added: { type: 'integer' },
    removed: { type: 'integer' },
  }),
  Health: object(['status'], { status: { type: 'string', const: 'alive' } }),
  Readiness: object(['status', 'checks'], {
    status: { type: 'string', enum: ['ready', 'degraded', 'not_ready'] },
    checks: {
      type: 'array',
      items: object(['kind', 'name', 'ready', 'problem'], {
        kind: { type: 'string' },
        name: { type: 'string' },
        ready: { type: 'boolean' },
        problem: { type: ['string', 'null'] },
      }),
    },
  }),
  ProtectedResource: object(['resource', 'authorization_servers'], {
    resource: { type: 'string', format: 'uri' },
    authorization_servers: { type: 'array', items: { type: 'string', format: 'uri' } },
    scopes_supported: { type: 'array', items: { type: 'string' } },
    bearer_methods_supported: { type: 'array', items: { type: 'string' } },
  }),
  OpenAiError: object(['error'], {
    error: object(['message', 'type', 'param', 'code'], {
      message: { type: 'string' },
      type: { type: 'string' },
      param: { type: ['string', 'null'] },
      code: { type: 'string' },
      doc_url: { type: 'string', format: 'uri' },
    }),
  }),
  RevocationRequest: object(['issuer'], {
    issuer: { type: 'string', description: 'Name of the issuer in issuers.yaml, or its `iss`.' },
    credential: {
      type: 'string',
      description:
        'Id of the credential: `jti`, Entra `uti`, the id of an API key. Never the credential itself.',
    },
    subject: {
      type: 'string',
      description:
        'Instead of `credential`: every credential of this subject (Entra: also `oid`) issued up to now.',
    },
    expires_at: {
      type: 'integer',
      description: 'With `credential`: when it expires, epoch seconds; the revocation is forgotten then.',
    },
  }),
  Revocation: object(['issuer', 'at', 'until'], {
    issuer: { type: 'string' },
    credential: { type: 'string' },
    subject: { type: 'string' },
    at: { type: 'integer', description: 'Epoch seconds.' },
    until: { type: ['integer', 'null'], description: 'Epoch seconds; null: kept without an end.' },
  }),
  Problem: object(['type', 'title', 'status', 'detail', 'code', 'instance'], {
    type: { type: 'string', format: 'uri' },
    title: { type: 'string' },
    status: { type: 'integer' },
    detail: { type: 'string' },
    code: { type: 'string' },
    instance: { type: 'string', description: 'The request id.' },
  }),
};
