import assert from 'node:assert/strict';
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { ConfigurationError, formatFinding, readYamlFile, type Finding } from '../../../core/yaml-file.ts';
import { gatewayConfigSchema } from '../../../gateway/config.ts';
import { loadBundle, policyFiles } from '../../../gateway/policies/bundle.ts';
import { policyContext } from '../../../gateway/policies/context.ts';
import { packageRoot } from '../../../core/package.ts';
import { z } from 'zod';
import { context, edited, goodFiles, writePolicies } from './policy-directory.ts';

function findingsOf(changes: Readonly<Record<string, string | null>>): Finding[] {
  const { directory, remove } = writePolicies(changes);
  try {
    loadBundle(directory, context);
    return [];
  } catch (error) {
    assert.ok(error instanceof ConfigurationError, String(error));
    return error.findings.map((finding) => ({ ...finding, file: finding.file.replace(`${directory}/`, '') }));
  } finally {
    remove();
  }
}
const linesOf = (changes: Readonly<Record<string, string | null>>): string[] =>
  findingsOf(changes).map(formatFinding);

describe('a policy bundle', () => {
  const refusals: [string, Record<string, string | null>, string[]][] = [
    ['a missing file', { 'limits.yaml': null }, ['limits.yaml:1:1 the file does not exist']],
    [
      'a YAML file that is not part of a bundle',
      { 'role.yaml': 'roles: {}' },
      [
        'role.yaml:1:1 a policy directory holds issuers.yaml, roles.yaml, rules.yaml, access.yaml, relations.yaml, limits.yaml, guards.yaml, routes.yaml and no other YAML file; did you mean "roles.yaml"?',
      ],
    ],
    [
      'an empty audience list',
      edited('issuers.yaml', '[api://sallyport]', '[]'),
      ['issuers.yaml:4:5 issuers.embedded.audiences: the list is empty'],
    ],
    [
      'a missing audience list',
      edited('issuers.yaml', '    audiences: [api://sallyport]\n', ''),
      ['issuers.yaml:2:3 issuers.embedded.audiences: this key is missing'],
    ],
    [
      'a misspelt key',
      edited('issuers.yaml', 'client_ids', 'client_id'),
      [
        'issuers.yaml:2:3 issuers.embedded.client_ids: this key is missing',
        'issuers.yaml:5:5 issuers.embedded.client_id: unknown key "client_id"; did you mean "client_ids"?',
      ],
    ],
    [
      'a key given twice',
      {
        'limits.yaml': `${goodFiles['limits.yaml'] ?? ''}  requests: { by: principal, requests: 1, window: 1m }\n`,
      },
      ['limits.yaml:4:3 limits.requests: this key is given twice'],
    ],
    [
      'a wrong type',
      edited('roles.yaml', 'models: [tiny-gpt2]', 'models: tiny-gpt2'),
      ['roles.yaml:4:5 roles.LLM.User.models: expected a list, found text'],
    ],
    [
      'a bare number as a duration',
      edited('limits.yaml', 'requests: 60, window: 1m', 'requests: 60, window: 60'),
      [
        'limits.yaml:2:44 limits.requests.window: a duration is a whole number and a unit (ms, s, m, h, d), such as 30s, 1m or 24h',
      ],
    ],
    [
      'a misspelt kind of guard',
      edited('guards.yaml', 'denied_words', 'denied_word'),
      [
        'guards.yaml:2:12 guards.words.kind: expected one of denied_words, parameter_ceilings; did you mean "denied_words"?',
      ],
    ],
    [
      'a guard without words',
      edited('guards.yaml', '[forbidden]', '[]'),
      ['guards.yaml:2:32 guards.words.words: the list is empty'],
    ],
    [
      'a denied word that nobody can see',
      edited('guards.yaml', '[forbidden]', '["\\u200b"]'),
      ['guards.yaml:2:40 guards.words.words.0: a denied word has at least one visible character'],
    ],
    [
      'a role that inherits an unknown one',
      edited('roles.yaml', 'inherits: [LLM.User]', 'inherits: [LLM.Usr]'),
      ['roles.yaml:6:16 roles.LLM.Admin.inherits.0: there is no role "LLM.Usr"; did you mean "LLM.User"?'],
    ],
    [
      'roles that include each other, once per cycle',
      edited('roles.yaml', 'models: [tiny-gpt2]', 'models: [tiny-gpt2]\n    inherits: [LLM.Admin]'),
      ['roles.yaml:5:5 roles.LLM.User.inherits: the role includes itself: LLM.User → LLM.Admin → LLM.User'],
    ],
    [
      'a role that includes itself',
      edited('roles.yaml', 'inherits: [LLM.User]', 'inherits: [LLM.Admin]'),
      ['roles.yaml:6:5 roles.LLM.Admin.inherits: the role includes itself: LLM.Admin → LLM.Admin'],
    ],
    [
      'an assignment of an unknown role',
      edited('roles.yaml', 'role: LLM.User', 'role: LLM.Users'),
      ['roles.yaml:10:7 assignments.0.role: there is no role "LLM.Users"; did you mean "LLM.User"?'],
    ],
    [
      'an assignment for an unknown issuer',
      edited('roles.yaml', 'groups: [readers]', 'groups: [readers], issuers: [embeded]'),
      ['roles.yaml:10:52 assignments.0.issuers.0: there is no issuer "embeded"; did you mean "embedded"?'],
    ],
    [
      'an action that no route has',
      edited('roles.yaml', 'chat.completions.create', 'chat.completion.create'),
      [
        'roles.yaml:3:28 roles.LLM.User.permits.1: there is no route with the action "chat.completion.create"; did you mean "chat.completions.create"?',
      ],
    ],
    [
      'a wildcard in the middle of an action',
      edited('roles.yaml', 'admin.*', '"admin.*.list"'),
      [
        'roles.yaml:7:15 roles.LLM.Admin.permits.0: an action is a dotted verb such as chat.completions.create, admin.* or *',
      ],
    ],
    [
      'a route with an unknown limit',
      edited(
        'routes.yaml',
        'action: models.list, limits: [requests]',
        'action: models.list, limits: [request]',
      ),
      ['routes.yaml:2:91 routes.models.limits.0: there is no limit "request"; did you mean "requests"?'],
    ],
    [
      'a route with an unknown guard',
      edited('routes.yaml', 'guards: [words, ceilings]', 'guards: [words, ceiling]'),
      ['routes.yaml:9:21 routes.chat.guards.1: there is no guard "ceiling"; did you mean "ceilings"?'],
    ],
    [
      'a route with an unknown upstream',
      edited(
        'routes.yaml',
        'upstream: accounts, action: accounts.register',
        'upstream: acounts, action: accounts.register',
      ),
      [
        'routes.yaml:10:58 routes.register.upstream: there is no upstream of kind http in the configuration "acounts"; did you mean "accounts"?',
      ],
    ],
    [
      'a route of kind http to a model upstream, which would pass the model by',
      edited(
        'routes.yaml',
        'upstream: accounts, action: admin.users.list',
        'upstream: embedded, action: admin.users.list',
      ),
      [
        'routes.yaml:11:60 routes.users.upstream: there is no upstream of kind http in the configuration "embedded"',
      ],
    ],
    [
      'a route of kind http without upstream',
      edited('routes.yaml', 'upstream: accounts, action: admin.users.list', 'action: admin.users.list'),
      ['routes.yaml:11:3 routes.users.upstream: a route of kind http names its upstream'],
    ],
    [
      'an anonymous route to a model',
      edited('routes.yaml', 'kind: openai', 'kind: openai\n    anonymous: true'),
      ['routes.yaml:7:5 routes.chat.anonymous: a route of kind openai needs a caller'],
    ],
    [
      'an anonymous administrator',
      edited('routes.yaml', 'action: admin.users.list', 'action: admin.users.list, anonymous: true'),
      ['routes.yaml:11:106 routes.users.anonymous: an action of administrators is not open to anybody'],
    ],
    [
      'an anonymous route without a limit',
      edited('routes.yaml', ', anonymous: true, limits: [address]', ', anonymous: true'),
      ['routes.yaml:10:105 routes.register.anonymous: a route that is open to anybody needs a limit'],
    ],
    [
      'an anonymous route that requires a bound token',
      edited(
        'routes.yaml',
        ', anonymous: true, limits: [address]',
        ', anonymous: true, require: sender_constrained, limits: [address]',
      ),
      [
        'routes.yaml:10:122 routes.register.require: a route that is open to anybody reads no access token, so nothing can be required of it',
      ],
    ],
    [
      'guards where no body is read',
      edited('routes.yaml', 'action: admin.users.list', 'action: admin.users.list, guards: [words]'),
      [
        'routes.yaml:11:106 routes.users.guards: guards judge what is sent to a model; a route of kind http sends nothing there',
      ],
    ],
    [
      'two routes for one request',
      edited('routes.yaml', '/admin/users', '/v1/models'),
      ['routes.yaml:11:12 routes.users.path: GET /v1/models is already the route models'],
    ],
    [
      'an id in a route to a model',
      edited('routes.yaml', 'path: /v1/chat/completions', `path: "/v1/chat/{id}"`),
      ['routes.yaml:4:5 routes.chat.path: only routes of kind http have an {id}'],
    ],
    [
      'a route whose id would be lost on the way',
      edited('routes.yaml', 'path: /admin/users', `path: "/admin/users/{id}", upstream_path: /admin/users`),
      ['routes.yaml:11:39 routes.users.upstream_path: path and upstream_path both have an {id}, or neither'],
    ],
    [
      'a route that would hide the health check',
      edited('routes.yaml', '/admin/users', '/healthz'),
      ['routes.yaml:11:12 routes.users.path: the gateway answers this path itself'],
    ],
    ...[
      '//x',
      '/a/../b',
      '/a/./b',
      '/a/{model}/{model}',
      '/a/{id}/{model}',
      '/a/{id}/{id}',
      '/a/x{model}',
      '/a/{id}x',
      '/a/{name}',
    ].map((path): [string, Record<string, string | null>, string[]] => [
      `the path ${path}`,
      edited('routes.yaml', 'path: /v1/chat/completions', `path: "${path}"`),
      [
        'routes.yaml:4:5 routes.chat.path: a path has no empty or dot segments, and at most one segment that is {model} or {id}',
      ],
    ]),
    [
      'an embedded issuer where the configuration has two issuers of one name',
      {
        'issuers.yaml': `${goodFiles['issuers.yaml'] ?? ''}  second: { issuer: embedded, audiences: [a], client_ids: [b] }\n`,
      },
      [
        'issuers.yaml:7:13 issuers.second.issuer: the tokens of http://127.0.0.1:8081/5a11b0a7-0000-4000-8000-000000000000/v2.0 are already judged by embedded',
      ],
    ],
  ];
  for (const [what, changes, expected] of refusals) {
    it(`refuses ${what}`, () => assert.deepEqual(linesOf(changes), expected));
  }

  it('reports the faults of all files in one run', () => {
    const findings = findingsOf({
      'limits.yaml': null,
      ...edited('guards.yaml', 'max_tokens', 'max_token'),
      ...edited('roles.yaml', 'inherits: [LLM.User]', 'inherits: [LLM.Usr]'),
    });
    assert.deepEqual(
      findings.map((finding) => [finding.file, finding.code]),
      [
        ['limits.yaml', 'missing_file'],
        ['guards.yaml', 'unknown_key'],
        ['roles.yaml', 'unknown_reference'],
      ],
    );
  });

  it('refuses a directory that is not there, naming each file', () => {
    assert.throws(
      () => loadBundle('/nonexistent/policies', context),
      (error: unknown) =>
        error instanceof ConfigurationError &&
        error.findings.length === 5 &&
        error.findings.every((finding) => finding.code === 'missing_file'),
    );
  });

  it('warns of what has no effect, and loads', () => {
    const { directory, remove } = writePolicies({
      ...edited('roles.yaml', 'models: [tiny-gpt2]', 'models: [tiny-gpt2, gpt2, old-*]'),
      ...edited(
        'limits.yaml',
        '  address:',
        '  unused: { by: principal, requests: 1, window: 1s }\n  address:',
      ),
    });
    const { warnings } = loadBundle(directory, context);
    remove();
    assert.deepEqual(
      warnings.map((finding) => formatFinding(finding).replace(`${directory}/`, '')),
      [
        'roles.yaml:4:25 roles.LLM.User.models.1: no upstream serves the model gpt2',
        'roles.yaml:4:31 roles.LLM.User.models.2: no upstream serves the model old-*',
        'limits.yaml:3:3 limits.unused: no route and no rule names this limit',
      ],
    );
  });

  it('has a digest that changes with every byte and with nothing else', () => {
    const digests = [{}, edited('roles.yaml', 'readers', 'writers'), {}].map((changes) => {
      const { directory, remove } = writePolicies(changes);
      writeFileSync(join(directory, 'README.md'), 'not a policy');
      const { digest } = loadBundle(directory, context);
      remove();
      return digest;
    });
    assert.equal(digests[0], digests[2]);
    assert.notEqual(digests[0], digests[1]);
    assert.match(digests[0] ?? '', /^[0-9a-f]{64}$/);
  });

  it('reads a ConfigMap mounted by Kubernetes, through its ..data link', () => {
    const { directory, remove } = writePolicies();
    const first = join(directory, '..2026_01_01');
    mkdirSync(first);
    for (const name of Object.keys(goodFiles)) {
      renameSync(join(directory, name), join(first, name));
      symlinkSync(join('..data', name), join(directory, name));
    }
    symlinkSync('..2026_01_01', join(directory, '..data'));
    const bundle = loadBundle(directory, context);
    assert.equal(bundle.fileDigests.size, 5);
    unlinkSync(join(first, 'roles.yaml'));
    assert.throws(() => loadBundle(directory, context), {
      message: `${directory}/roles.yaml:1:1 the file does not exist`,
    });
    remove();
  });

  it('reads through a directory that is a link', () => {
    const { directory, remove } = writePolicies();
    const folder = mkdtempSync(join(tmpdir(), 'sallyport-link-'));
    symlinkSync(directory, join(folder, 'current'));
    assert.equal(loadBundle(join(folder, 'current'), context).digest, loadBundle(directory, context).digest);
    rmSync(folder, { recursive: true });
    remove();
  });

  it('is good and without a warning as it is shipped', () => {
    const { gateway } = readYamlFile(
      join(packageRoot, 'config/sallyport.yaml'),
      z.looseObject({ gateway: gatewayConfigSchema }),
    ).value;
    const { warnings } = loadBundle(join(packageRoot, 'policies'), policyContext(gateway));
    assert.deepEqual(warnings.map(formatFinding), []);
    for (const name of Object.keys(policyFiles)) {
      const modeline = `# yaml-language-server: $schema=../schemas/${name.replace('.yaml', '.json')}\n`;
      assert.ok(readFileSync(join(packageRoot, 'policies', name), 'utf8').startsWith(modeline), name);
    }
  });
});
