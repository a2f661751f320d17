// A closed JSON Schema of the parts of the Compose specification that docker-compose.yml uses, written from the
// specification's text: what is not listed here is refused, so a misspelt key cannot pass. It is a subset, not a copy.
const text = { type: 'string' } as const;
const texts = { type: 'array', items: text, uniqueItems: true } as const;
const commandLine = { type: 'array', items: text } as const;
const duration = { type: 'string', pattern: '^(\\d+(us|ms|s|m|h))+$' } as const;
const name = '^[a-zA-Z0-9._-]+$';
const closed = <T extends object>(properties: T, required: readonly string[] = []) => ({
  type: 'object',
  properties,
  required,
  additionalProperties: false,
});
const named = (value: object) => ({
  type: 'object',
  patternProperties: { [name]: value },
  additionalProperties: false,
});

const healthcheck = closed(
  {
    test: {
      type: 'array',
      minItems: 2,
      prefixItems: [{ enum: ['CMD', 'CMD-SHELL'] }],
      items: text,
    },
    interval: duration,
    timeout: duration,
    start_period: duration,
    retries: { type: 'integer', minimum: 1 },
  },
  ['test'],
);

const service = closed({
  image: text,
  build: text,
  user: { type: 'string', pattern: '^\\d+:\\d+$' },
  entrypoint: commandLine,
  command: commandLine,
  environment: named({ type: ['string', 'number'] }),
  ports: {
    type: 'array',
    items: { type: 'string', pattern: '^(\\d+\\.\\d+\\.\\d+\\.\\d+:)?\\d+:\\d+$' },
    uniqueItems: true,
  },
  networks: texts,
  network_mode: { type: 'string', pattern: '^(none|host|service:[a-z-]+)$' },
  volumes: {
    type: 'array',
    items: { type: 'string', pattern: '^(\\./[\\w./-]+|[a-z-]+):/[\\w./-]+(:ro)?$' },
    uniqueItems: true,
  },
  tmpfs: texts,
  secrets: texts,
  depends_on: {
    oneOf: [
      texts,
      named(
        closed(
          { condition: { enum: ['service_started', 'service_healthy', 'service_completed_successfully'] } },
          ['condition'],
        ),
      ),
    ],
  },
  healthcheck,
  read_only: { type: 'boolean' },
  cap_drop: texts,
  cap_add: texts,
  security_opt: texts,
  privileged: { type: 'boolean' },
  pids_limit: { type: 'integer' },
  restart: { enum: ['no', 'always', 'on-failure', 'unless-stopped'] },
  stop_grace_period: duration,
  logging: closed({ driver: text, options: named(text) }),
});

/** The schema, draft 2020-12. */
export const composeSchema = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  type: 'object',
  properties: {
    name: { type: 'string', pattern: '^[a-z0-9][a-z0-9_-]*$' },
    services: named(service),
    networks: named(closed({ internal: { type: 'boolean' } })),
    volumes: named(closed({})),
    secrets: named(closed({ file: text }, ['file'])),
  },
  patternProperties: { '^x-': {} },
  required: ['services'],
  additionalProperties: false,
};
