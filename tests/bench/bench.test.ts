// The bench itself: it measures only contestants that guard, says what it did not understand, and writes what it promises.
// Nothing here looks at a duration.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { DOMParser } from '@xmldom/xmldom';
import { parse } from 'yaml';
import { packageRoot } from '../../core/package.ts';

const folder = mkdtempSync(join(tmpdir(), 'sallyport-bench-test-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** A part of the harness; plain JavaScript without types. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
const part = (name: string): Promise<any> => import(pathToFileURL(join(packageRoot, 'bench', name)).href);
const bench = (...words: string[]) =>
  spawnSync(process.execPath, [join(packageRoot, 'bench/run.mjs'), ...words], { encoding: 'utf8' });

describe('the command line of the bench', () => {
  for (const [words, problem] of [
    [['--fast'], /--fast/],
    [['gateway'], /gateway/],
    [['--contestants', 'gateway,apache'], /no contestant apache; there are: direct, nginx/],
    [['--rounds', '0'], /--rounds is a number of at least 1/],
    [['--rounds', 'many'], /--rounds is a number/],
    [['--seconds', '0'], /--seconds is a number/],
    [['--with', 'kong'], /--with knows only portkey/],
    [['--only', 'nothing'], /no bench nothing; there are: /],
    [['--only'], /no bench/],
  ] as const) {
    it(`refuses ${words.join(' ')}`, () => {
      const { status, stderr } = bench(...words);
      assert.equal(status, 1);
      assert.match(stderr, problem);
    });
  }

  it('lists every other bench in its help', () => {
    const { status, stdout } = bench('--help');
    assert.equal(status, 0);
    const others = readdirSync(join(packageRoot, 'bench')).filter(
      (name) => name.endsWith('.mjs') && !['run.mjs', 'load.mjs'].includes(name),
    );
    assert.ok(others.includes('rules.mjs'));
    for (const name of others)
      assert.match(stdout, new RegExp(`^ {2}${name.replace('.mjs', '')} +\\S.{20}`, 'm'));
  });

  it('says how a peer joins that is no dependency', () => {
    const { status, stdout } = bench('--with', 'portkey');
    assert.equal(status, 0);
    assert.match(stdout, /npm install --prefix <folder> @portkey-ai\/gateway/);
  });
});

describe('the check of a guard', async () => {
  const { checkGuard } = await part('harness/guard-check.mjs');
  const { accessTokens, badAccessTokens, signingKey } = await part('harness/access-tokens.mjs');
  const issuer = 'http://issuer.test';
  const key = await signingKey();
  const [valid] = await accessTokens(1, { ...key, issuer });
  const bad: [string, string | null, number[]][] = await badAccessTokens({ ...key, issuer });
  const body = JSON.stringify({ model: 'tiny-gpt2', messages: [], max_tokens: 40 });

  async function check(listener: RequestListener, guards: object): Promise<void> {
    const server = createServer(listener);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      const { port } = server.address() as AddressInfo; // It listens on TCP.
      await checkGuard({ name: 'peer', ...guards, part: { port } }, { body, valid, bad });
    } finally {
      server.closeAllConnections();
      server.close();
    }
  }
  /** Answers each credential as it should be answered, but for one. */
  const guardBut =
    (what: string | null, status: number): RequestListener =>
    (request, response) => {
      const sent = request.headers.authorization?.slice('Bearer '.length) ?? null;
      const [name, , statuses] = bad.find(([, accessToken]) => accessToken === sent) ?? ['valid', '', [200]];
      response.statusCode = name === what ? status : (statuses[0] ?? 500);
      response.end();
    };

  it('passes one that lets in the valid access token alone', async () => {
    await check(guardBut(null, 200), { guards: true });
  });

  for (const [what, , statuses] of bad) {
    it(`refuses to time one that lets in: ${what}`, async () => {
      await assert.rejects(
        check(guardBut(what, 200), { guards: true }),
        new RegExp(`peer does not guard as it should: ${what}: 200 instead of ${statuses.join(' or ')}$`),
      );
    });
  }

  for (const guards of [{ guards: true }, { guards: false }]) {
    it(`refuses to time one that ${guards.guards ? 'guards' : 'has no guard'} and refuses everybody`, async () => {
      await assert.rejects(check(guardBut('valid', 401), guards), /a valid access token: 401 instead of 200/);
    });
  }

  it('refuses to time a gateway that judges callers but not what they ask for', async () => {
    await assert.rejects(
      check(guardBut(null, 200), { guards: true, guardsRequests: true }),
      /a denied word: 200 instead of 400; too many tokens asked for: 200 instead of 400; a model that is not there: 200/,
    );
  });
});

describe('the load', async () => {
  const { answerReader } = await part('harness/answer-reader.mjs');

  for (const [what, answer] of [
    ['with Content-Length', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello'],
    ['in chunks', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n'],
    ['without a body', 'HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n'],
  ] as const) {
    it(`finds the end of an answer ${what}, wherever it is cut`, () => {
      for (let cut = 1; cut <= answer.length; cut++) {
        const ended: unknown[] = [];
        const read = answerReader({
          onEnd: (status: string, closes: boolean) => ended.push([status, closes]),
        });
        for (const bytes of [answer.slice(0, cut), answer.slice(cut), answer].filter((text) => text !== ''))
          read(Buffer.from(bytes));
        const expected = [answer.slice(9, 12), answer.includes('close')];
        assert.deepEqual(ended, [expected, expected], `cut at ${cut}`);
      }
    });
  }

  it('refuses an answer whose end cannot be known', () => {
    const read = answerReader({ onEnd: () => undefined });
    assert.throws(() => read(Buffer.from('HTTP/1.1 200 OK\r\n\r\nhello')), /framed by neither/);
  });
});

describe('the figures', async () => {
  const { cpuOf, scheduledOf, tickedOf } = await part('harness/processes.mjs');

  it('count the processor time of a process, in either way', { skip: !existsSync('/proc/self/stat') }, () => {
    for (let turn = 0; tickedOf(process.pid) < 50_000; turn++) JSON.stringify(process.versions);
    assert.ok(cpuOf(process.pid) >= 50_000);
    const scheduled = scheduledOf(process.pid);
    // In µs, and of all threads; the tick of the other may be 10 ms behind.
    if (scheduled !== null) assert.ok(Number(scheduled) >= Number(tickedOf(process.pid)) - 40_000);
    assert.equal(tickedOf(2 ** 22 + 1), 0);
    assert.equal(scheduledOf(2 ** 22 + 1), null);
  });

  const { difference, median, ratio, spread } = await part('harness/statistics.mjs');

  it('takes a ratio within each round before it takes the median', () => {
    const [slow, fast] = [
      [{ cpu: 10 }, { cpu: 100 }, { cpu: 60 }],
      [{ cpu: 20 }, { cpu: 200 }, { cpu: 20 }],
    ];
    assert.deepEqual(ratio(slow, fast), { median: 0.5, min: 0.5, max: 3 });
  });

  it('leaves out rounds without a value', () => {
    assert.deepEqual(spread([{ p50: 3 }, { p50: null }, { p50: 1 }], 'p50'), { median: 1, min: 1, max: 3 });
    assert.equal(spread([{ p50: null }], 'p50'), null);
    assert.equal(difference([{ p50: null }], [{ p50: 1 }], 'p50'), null);
    assert.equal(median([null, 4]), 4);
  });
});

describe('a run', { skip: existsSync('/proc/self/stat') ? false : 'it reads /proc' }, () => {
  it('prints the table, the hit rate and the ratio, and writes results', () => {
    const { status, stdout, stderr } = bench(
      ...['--source', '--no-streams', '--contestants', 'direct,pass-through,obvious,gateway'],
      ...['--rounds', '1', '--seconds', '0.2', '--warm', '1', '--new-tokens', '100', '--out', folder],
    );
    assert.equal(status, 0, stderr);
    for (const name of ['direct', 'pass-through', 'obvious', 'gateway', 'gateway, every token new'])
      assert.match(stdout, new RegExp(`^${name} +\\d+\\.\\d`, 'm'), name);
    assert.match(stdout, /^gateway \/ pass-through, CPU per request +\d/m);
    assert.match(stdout, /gateway verifies a token once: \d+\.\d+ % of its requests/);
    const summary = JSON.parse(readFileSync(join(folder, 'latest.json'), 'utf8'));
    assert.equal(summary.requests.length, 5);
    assert.ok(readFileSync(join(folder, 'latest.md'), 'utf8').includes('| gateway |'));
    assertWellFormed(readFileSync(join(folder, 'latest.svg'), 'utf8'));
  });
});

describe('the stages', { skip: existsSync('/proc/self/stat') ? false : 'it reads /proc' }, () => {
  it('are timed inside a serving gateway, whatever they import', () => {
    const { status, stdout, stderr } = bench(
      ...['--stage', '--no-features', '--source', '--rounds', '1', '--seconds', '0.2', '--warm', '1'],
    );
    assert.equal(status, 0, stderr);
    for (const name of ['authenticate', 'limit', 'guard', 'forward', 'account', 'AuditLog.append\\w*'])
      assert.match(stdout, new RegExp(`^(?:› )*${name} +[01]\\.\\d( +\\d+\\.\\d\\d){3}$`, 'm'), name);
    assert.match(stdout, /^whole, CPU per request without clocks +\d/m);
  });
});

describe('a feature that is switched for the bench', async () => {
  const { policyEditor, raiseLimits, variants } = await part('contestants/gateway-variants.mjs');

  /** The shipped policies as a variant leaves them. */
  function policiesOf(variant: string) {
    const policies = mkdtempSync(join(folder, 'policies-'));
    cpSync(join(packageRoot, 'policies'), policies, { recursive: true });
    const edit = policyEditor(policies);
    raiseLimits(edit);
    variants[variant]({ edit, config: { upstreams: { embedded: {} } } });
    const read = (name: string) => parse(readFileSync(join(policies, `${name}.yaml`), 'utf8'));
    return { limits: read('limits'), routes: read('routes'), rules: read('rules') };
  }

  it('leaves every limit and guard of the chat route on, with raised numbers', () => {
    const { limits, routes } = policiesOf('everything on');
    const shipped = parse(readFileSync(join(packageRoot, 'policies/routes.yaml'), 'utf8'));
    const chat = routes.routes['chat.completions'];
    assert.deepEqual(chat, shipped.routes['chat.completions']);
    const named = chat.limits.map((name: string) => limits.limits[name]);
    assert.ok(named.some((limit: object) => 'requests' in limit));
    assert.ok(named.some((limit: object) => 'model_tokens' in limit));
    for (const limit of named) assert.ok((limit.requests ?? limit.model_tokens) >= 1_000_000_000);
  });

  it('takes one thing away or adds one, and nothing else', () => {
    const { routes: all } = policiesOf('everything on').routes;
    for (const [variant, kind] of [
      ['without the request limit', 'limits'],
      ['without the model-token limit', 'limits'],
      ['without the guard denied_words', 'guards'],
      ['without the guard parameter_ceilings', 'guards'],
    ] as const) {
      const { routes } = policiesOf(variant).routes;
      assert.equal(
        routes['chat.completions'][kind].length,
        all['chat.completions'][kind].length - 1,
        variant,
      );
      const restored = { ...routes['chat.completions'], [kind]: all['chat.completions'][kind] };
      assert.deepEqual({ ...routes, 'chat.completions': restored }, all, variant);
    }
    assert.equal(policiesOf('with 200 rules that look at the address').rules.rules.length, 200);
  });
});

describe('a profile', async () => {
  const { groupProfile } = await part('harness/profile.mjs');

  it('is told by group of code, without the time that nothing ran', () => {
    const frame = (id: number, functionName: string, url: string) => ({
      id,
      callFrame: { functionName, url },
    });
    const groups = groupProfile({
      nodes: [
        frame(1, '(idle)', ''),
        frame(2, 'dispatch', 'file:///x/node_modules/undici/lib/a.js'),
        frame(3, 'guard', 'file:///x/dist/gateway/guard/guard.js'),
        frame(4, 'writev', ''),
      ],
      samples: [1, 2, 3, 4, 4],
      timeDeltas: [1_000, 100, 100, 100, 100],
    });
    assert.deepEqual(groups, [
      { name: 'native: writev', share: 0.5 },
      { name: 'undici', share: 0.25 },
      { name: 'gateway/guard/', share: 0.25 },
    ]);
  });
});

describe('the plot', async () => {
  const { heightOf, plotOf } = await part('harness/plot.mjs');
  const machine = { node: 'v24', processor: 'A & B <c> "d"' };

  it('is well-formed whatever the machine is called, and cuts a bar that dwarfs the others', () => {
    const svg = plotOf({
      machine,
      plan: { rounds: 3 },
      requests: [
        { name: 'gateway', cpu: { median: 40, min: 39, max: 44 } },
        { name: 'portkey', cpu: { median: 1500, min: 1400, max: 1600 } },
      ],
      streams: [
        { callers: 100, contestants: [{ name: 'haproxy <1>', cpu: { median: 15, min: 15, max: 15 } }] },
      ],
    });
    assertWellFormed(svg);
    assert.match(svg, /1500\.0 \(bar cut\)/);
    assert.ok(heightOf(svg) > 100);
  });
});

function assertWellFormed(svg: string): void {
  const document = new DOMParser({
    onError: (level, message) => assert.fail(`${level}: ${message}`),
  }).parseFromString(svg, 'image/svg+xml');
  assert.equal(document.documentElement?.tagName, 'svg');
}
