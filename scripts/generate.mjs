// Writes what follows from the sources: schemas/*.json for editors, docs/reference/config.md, policies.md and
// enforced-rules.md for people.
// `--check` writes nothing and exits 1 when a file is stale. A key's meaning is its `.describe()`, or else the doc
// comment above it in the file that owns the schema, so that it is written once.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { format } from 'prettier';
import ts from 'typescript';
import { z } from 'zod';
import { enforcedRulesPage } from './enforced-rules.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Which schema is which file, and where its keys are explained. */
const documents = [
  {
    name: 'config',
    title: 'config/sallyport.yaml',
    intro:
      'Start-time settings of all servers; each reads its own section, and a server without a section is not started.',
    module: 'cli/compose.ts',
    schema: 'configurationSchema',
    sources: ['cli/compose.ts', 'gateway/config.ts', 'identity/config.ts', 'model-server/config.ts'],
  },
  {
    name: 'issuers',
    title: 'policies/issuers.yaml',
    intro: 'Whose access tokens are accepted, for whom, from which client applications.',
    module: 'gateway/authenticate/issuers-policy.ts',
    schema: 'issuersSchema',
    sources: [
      'gateway/authenticate/issuers-policy.ts',
      'gateway/authenticate/entra-policy.ts',
      'gateway/authenticate/introspection/introspection-policy.ts',
      'gateway/authenticate/certificate/certificates-policy.ts',
      'gateway/authenticate/basic/basic-policy.ts',
    ],
  },
  {
    name: 'roles',
    title: 'policies/roles.yaml',
    intro:
      'What each role permits and on which models. A role that includes another has its permissions and models too. Two roles held side by side do not combine: what one permits holds on its own models.',
    module: 'gateway/authorize/roles-policy.ts',
    schema: 'rolesSchema',
    sources: ['gateway/authorize/roles-policy.ts'],
  },
  {
    name: 'rules',
    title: 'policies/rules.yaml',
    intro: rulesIntro(),
    module: 'gateway/authorize/rules-policy.ts',
    schema: 'rulesSchema',
    sources: ['gateway/authorize/rules-policy.ts', 'gateway/authorize/obligations-policy.ts'],
  },
  {
    name: 'relations',
    title: 'policies/relations.yaml',
    intro:
      'Who is related to what: types of objects with their relations, and tuples. Rules ask with `related("viewer", "model:" + request.model)`; how it is answered, and from which store, is in [Relations](relations.md).',
    module: 'gateway/authorize/relations/relations-policy.ts',
    schema: 'relationsSchema',
    sources: ['gateway/authorize/relations/relations-policy.ts'],
  },
  {
    name: 'access',
    title: 'policies/access.yaml',
    intro:
      'What other services may ask about ([the gateway as decision point](authzen.md)): types of their resources with the actions on them, and known subjects and resources. The file may be left out. A role or a rule reaches these resources only where it names them (`resources`).',
    module: 'gateway/access/access-policy.ts',
    schema: 'accessSchema',
    sources: ['gateway/access/access-policy.ts'],
  },
  {
    name: 'limits',
    title: 'policies/limits.yaml',
    intro: 'How many requests, for whom, in which window. Routes name the limits that hold for them.',
    module: 'gateway/limit/limits-policy.ts',
    schema: 'limitsSchema',
    sources: ['gateway/limit/limits-policy.ts'],
  },
  {
    name: 'guards',
    title: 'policies/guards.yaml',
    intro:
      'What the content and the parameters of a request may be. Routes name the guards that hold for them, in the order in which they run. Whatever the guards, the parameters that decide (`max_tokens`, `n`, `stream`, `messages` …) must have the types of the OpenAI API.',
    module: 'gateway/guard/guards-policy.ts',
    schema: 'guardsSchema',
    sources: ['gateway/guard/denied-words.ts', 'gateway/guard/parameter-ceilings.ts'],
  },
  {
    name: 'routes',
    title: 'policies/routes.yaml',
    intro: 'The only ways in: a request that matches no route is refused.',
    module: 'gateway/policies/routes.ts',
    schema: 'routesSchema',
    sources: ['gateway/policies/routes.ts'],
  },
  {
    name: 'policy-tests',
    module: 'gateway/policies/evaluation/test-schema.ts',
    schema: 'policyTestsSchema',
    sources: ['gateway/policies/evaluation/test-schema.ts'],
    // A list for editors only; its page is written by hand: docs/reference/policy-tools.md.
    hasSection: false,
  },
];

/** Every generated file: path from the root → text. */
export async function generate() {
  const files = new Map();
  const sections = new Map();
  for (const entry of documents) {
    const loaded = await import(pathToFileURL(join(root, entry.module)).href);
    const schema = jsonSchemaOf(loaded[entry.schema], entry);
    files.set(
      `schemas/${entry.name}.json`,
      await format(JSON.stringify(schema), { parser: 'json', printWidth: 110 }),
    );
    if (entry.hasSection !== false) sections.set(entry.name, sectionOf(entry, schema));
  }
  files.set(
    'docs/reference/config.md',
    page('Configuration', [
      'Generated from the schemas by `npm run generate`; do not edit. Paths are relative to the folder in which the command runs. Settings are read once, at start; what reloads while the gateway runs is in the [policies](policies.md).',
      'An unknown key, a wrong type or a duplicate key stops the start with file, line, column and the nearest known key. Secrets never stand in the file: a setting holds `env:NAME` or `file:/path`.',
      sections.get('config'),
    ]),
  );
  files.set(
    'docs/reference/policies.md',
    page('Policies', [
      'Generated from the schemas by `npm run generate`; do not edit.',
      policyPreface,
      ...['issuers', 'roles', 'rules', 'relations', 'access', 'limits', 'guards', 'routes'].map((name) =>
        sections.get(name),
      ),
    ]),
  );
  files.set('docs/reference/enforced-rules.md', enforcedRulesPage(root));
  return files;
}

const policyPreface = `A policy directory holds these eight files (\`rules.yaml\`, \`relations.yaml\` and \`access.yaml\` may be left out) and no other YAML file; together they are one bundle with one digest (SHA-256), which every audit record names. The bundle is read when the gateway starts and again whenever a file changes (written in place, replaced, swapped through a symbolic link or a Kubernetes \`..data\` link) or the process gets SIGHUP. It is used as a whole or not at all: an edit with a fault, or one that fails its own tests in \`tests/\` (\`gateway.require_tests\`), leaves the old bundle in use, is logged once with file, line, column and the nearest known key, and shows in \`/readyz\` and metrics until it is put right. A gateway does not start with a faulty bundle.

Besides each file by itself, the loader refuses names that another file does not know (limits, guards, roles, issuers, upstreams, actions and resource types of roles and rules), roles that include themselves, roles and assignments that join separated duties, expressions with a fault, relations and tuples that the types do not know, permit rules that do not say for whom, two routes for one request, guards on routes whose body is not read, obligations that no request of the rule could fulfil, and open (\`anonymous\`) routes to models, to administration or without a limit.

Durations are a whole number and a unit: \`500ms\`, \`30s\`, \`1m\`, \`24h\`, \`7d\`.`;

/** What the tables cannot say of rules: how they combine, and the vocabulary of `when`. */
function rulesIntro() {
  return `What roles alone cannot say. A rule matches when every condition that it states does. A decision is made so:

1. Roles permit, and else a rule of effect \`permit\` (on configured models only); without either, the answer is no.
2. A rule of effect \`deny\` that matches overrules all permits. One whose \`when\` fails on a request (a claim that is not there, a type that does not fit) denies, too; a permit rule whose \`when\` fails permits nothing (one with obligations denies, see 4).
3. A rule without an effect has \`require\`: if it matches and the caller's sign-in does not satisfy it, the answer is 401 \`insufficient_user_authentication\` with \`acr_values\` and \`max_age\` (RFC 9470). A permit rule with \`require\` permits those who have signed in so.
4. Once permitted, by whatever, the \`obligations\` of all rules that match (of effect \`permit\` or without one) hold together: limits and guards besides those of the route, the lowest of each ceiling, a system message in front of the conversation, header fields for the upstream. A rule with obligations whose \`when\` fails denies, since what it obliges to is not known; so does an obligation that cannot be fulfilled.

A permit rule names its actions (not \`*\`) and says for whom. A model that a deny rule takes from a caller for \`models.list\` is not listed; asked for by name it is answered 403 \`access_denied\`, and 404 \`model_not_found\` when nothing permits it.

\`when\` is an expression in [CEL](https://cel.dev) that yields true or false. A misspelt variable, member or function, a wrong type and a literal that cannot be read are findings with line and column when the file is read. \`matches()\` is refused, because its time can explode on hostile text: \`text.rematch("pattern")\` searches with RE2 in linear time. \`address.in_network("10.0.0.0/8")\` tests an address. \`related("viewer", "model:" + request.model)\` asks whether the principal has a relation to an object ([Relations](relations.md)). A macro (\`exists\`, \`all\`, \`filter\`, \`map\` …) within another, and \`related\` within a macro, is refused, because the work multiplies. Lists of more than 1024 entries fail the expression.

| variable | members |
| --- | --- |
| \`principal\` | \`subject\`, \`issuer\` (name in issuers.yaml), \`client_id\`, \`tenant_id\`, \`acr\` (texts, empty when absent), \`roles\` (effective), \`groups\`, \`scopes\`, \`amr\` (lists of text), \`groups_known\` (false for a token that says it has more groups than it lists; reading \`groups\` then fails the expression), \`identity_type\` (\`user\`, \`app\` or \`unproven\` for Entra, else empty), \`authenticated_at\` (timestamp; absent when the issuer does not say), \`claims\` (all claims of the access token by name) |
| \`request\` | \`route\`, \`action\`, \`model\` (texts), \`stream\` (bool), \`max_tokens\` (0 when not given, which leaves it to the model server), \`n\`, \`message_count\`, \`prompt_count\`, \`tool_count\` (whole numbers), \`headers\` (texts by name in lower case, without those that carry credentials; ask with \`"x-team" in request.headers\`) |
| \`subject\` | \`type\` (\`principal\`, or a type of access.yaml), \`id\` (texts), \`properties\` (claims, or what is known and stated of a subject of another service) |
| \`action\` | \`name\` (text), \`properties\` (as another service stated them; else empty) |
| \`resource\` | \`type\` (\`model\`, \`gateway\`, or a type of access.yaml), \`id\`, \`upstream\` (texts), \`properties\` (known and stated of a resource of another service; else empty), \`attributes\` (what \`gateway.upstreams.<name>.models[].attributes\` states about the model, by name) |
| \`environment\` | \`now\` (timestamp), \`caller_address\` (text), \`context\` (as another service stated it; else empty) |

Ask with \`has(principal.claims.plan)\` before reading a claim that not every access token holds, and with \`has(resource.attributes.tier)\` where not every model states a tier. An attribute that no model states is a finding, as is one of another type: \`resource.attributes.context > "8k"\`.`;
}

const page = (title, parts) => `# ${title}\n\n${parts.join('\n\n')}\n`;

function jsonSchemaOf(schema, { name, sources }) {
  const comments = sources.flatMap((source) => documentedObjects(source));
  const converted = z.toJSONSchema(schema, {
    io: 'input',
    target: 'draft-7',
    unrepresentable: 'any',
    override: ({ zodSchema, jsonSchema }) => {
      if (zodSchema._zod.def.type !== 'object') return;
      const keys = Object.keys(jsonSchema.properties ?? {});
      const documented = comments.find(
        (object) => object.size === keys.length && keys.every((key) => object.has(key)),
      );
      for (const key of keys) {
        // A schema that two keys share must not carry the words of one to the other.
        const property = { ...jsonSchema.properties[key] };
        jsonSchema.properties[key] = property;
        const text = documented?.get(key);
        if (text && property.description === undefined) property.description = text;
        // The default of `threads` is made from the cores of the machine at hand.
        if (key === 'threads') delete property.default;
      }
    },
  });
  const { $schema, ...rest } = converted;
  return { $schema, title: `Sallyport ${name}`, ...rest };
}

/** The keys of every z.strictObject in a source file, with the doc comment above each. */
function documentedObjects(source) {
  const text = readFileSync(join(root, source), 'utf8');
  const file = ts.createSourceFile(source, text, ts.ScriptTarget.Latest, true);
  const objects = [];
  const walk = (node) => {
    if (
      ts.isCallExpression(node) &&
      /\bstrictObject$/.test(node.expression.getText(file)) &&
      ts.isObjectLiteralExpression(node.arguments[0])
    ) {
      objects.push(
        new Map(
          // A spread has no name; the keys that it brings are described where they are made.
          node.arguments[0].properties.flatMap((property) =>
            property.name ? [[property.name.getText(file), commentAbove(property, text)]] : [],
          ),
        ),
      );
    }
    ts.forEachChild(node, walk);
  };
  walk(file);
  return objects;
}

function commentAbove(node, text) {
  const range = ts
    .getLeadingCommentRanges(text, node.pos)
    ?.findLast((each) => text.startsWith('/**', each.pos));
  if (range === undefined) return '';
  return text
    .slice(range.pos + 3, range.end - 2)
    .split('\n')
    .map((line) => line.replace(/^\s*\* ?/, '').trim())
    .join(' ')
    .trim();
}

function sectionOf({ name, title, intro }, schema) {
  return [`## ${title}`, intro, `JSON Schema: \`schemas/${name}.json\`.`, ...tablesOf(schema)].join('\n\n');
}

/** One table per top-level key, so that a page can be read section by section. */
function tablesOf(schema) {
  const tables = [];
  for (const [key, property] of Object.entries(schema.properties)) {
    const rows = rowsOf(property, key, schema.required?.includes(key) === true);
    const heading = Object.keys(schema.properties).length > 1 ? [`### ${key}`] : [];
    tables.push(
      ...heading,
      ['| key | value | default | meaning |', '| --- | --- | --- | --- |', ...rows].join('\n'),
    );
  }
  return tables;
}

function rowsOf(property, path, isRequired) {
  const rows = [row(path, property, isRequired)];
  for (const { prefix, object } of childrenOf(property, path)) {
    for (const [key, child] of Object.entries(object.properties)) {
      rows.push(...rowsOf(child, `${prefix}.${key}`, object.required?.includes(key) === true));
    }
  }
  return rows;
}

/** The objects below a property: its own keys, those of a record's or list's entries, those of each branch of a union. */
function childrenOf(property, path) {
  if (property.properties) return [{ prefix: path, object: property }];
  if (typeof property.additionalProperties === 'object')
    return childrenOf(property.additionalProperties, `${path}.<name>`);
  if (property.items && !Array.isArray(property.items)) return childrenOf(property.items, `${path}[]`);
  return (property.oneOf ?? property.anyOf ?? []).flatMap((branch) => {
    const kind = branch.properties?.kind?.const;
    return childrenOf(branch, kind === undefined ? path : `${path}(${kind})`);
  });
}

function row(path, property, isRequired) {
  const fallback =
    property.default === undefined
      ? isRequired
        ? '**required**'
        : ''
      : `\`${JSON.stringify(property.default)}\``;
  return `| \`${path}\` | ${escape(typeText(property))} | ${escape(fallback)} | ${escape(property.description ?? '')} |`;
}

const escape = (text) => text.replaceAll('|', '\\|').replaceAll('\n', ' ');

function typeText(property) {
  if (property.const !== undefined) return `\`${property.const}\``;
  if (property.enum) return property.enum.map((value) => `\`${value}\``).join(', ');
  const branches = property.oneOf ?? property.anyOf;
  if (branches) return [...new Set(branches.map(typeText))].join(' or ');
  if (property.type === 'array') return `list of ${property.items ? typeText(property.items) : 'anything'}`;
  if (property.type === 'object') return 'mapping';
  if (property.type === 'integer' || property.type === 'number') return numberText(property);
  if (property.type === 'boolean') return '`true` or `false`';
  if (property.pattern?.includes('(ms|s|m|h|d)')) return 'duration';
  return property.type === 'string' ? 'text' : 'anything';
}

function numberText({ minimum, maximum }) {
  const from = minimum === undefined || minimum <= Number.MIN_SAFE_INTEGER ? '' : ` from ${minimum}`;
  const to = maximum === undefined || maximum >= Number.MAX_SAFE_INTEGER ? '' : ` to ${maximum}`;
  return `number${from}${to}`;
}

async function main() {
  const check = process.argv.includes('--check');
  const stale = [];
  for (const [path, text] of await generate()) {
    const target = join(root, path);
    if (readOrNull(target) === text) continue;
    stale.push(path);
    if (check) continue;
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, text);
  }
  if (check && stale.length > 0) {
    process.stderr.write(`stale: ${stale.join(', ')}\nrun: npm run generate\n`);
    process.exitCode = 1;
  } else if (!check) {
    process.stderr.write(stale.length === 0 ? 'nothing to write\n' : `written: ${stale.join(', ')}\n`);
  }
}

function readOrNull(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
