// Two gateways, one that reads the simple requests itself and one that leaves all of them to node:http, get the same raw bytes:
// hand-written ones and a seeded flood of mutations. Whatever comes, both must answer alike, end the connection alike,
// and let the same bodies reach the upstream.
import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, describe, it } from 'node:test';
import { startTestGateway, type TestGateway } from '../../support/start-gateway.ts';

let fast: TestGateway;
let plain: TestGateway;

before(async () => {
  fast = await startTestGateway();
  plain = await startTestGateway({ ingress: false });
  // Each has an issuer of its own.
  minted.set(fast, await fast.mint());
  minted.set(plain, await plain.mint());
});
after(() => Promise.all([fast.close(), plain.close()]));

const minted = new Map<TestGateway, string>();

/** What a caller and the upstream saw. */
interface Seen {
  /** Status and error code of each answer, and whether it announced the end. */
  readonly answers: readonly string[];
  readonly closed: boolean;
  /** Bodies that the upstream received and that are of this case, in any order. */
  readonly sent: readonly string[];
}

interface Case {
  readonly title: string;
  /** Written one after the other. */
  readonly pieces: readonly string[];
  /** The caller says that nothing more comes. */
  readonly isHalfClosed?: boolean;
}

let marks = 10_000;

/** One case at one gateway; `hello` in its bodies becomes a mark, by which the upstream's requests are told apart. */
function exchange(gateway: TestGateway, { pieces, isHalfClosed }: Case, silentMs: number): Promise<Seen> {
  const mark = String(marks++);
  const accessToken = minted.get(gateway) ?? '';
  return new Promise((resolve) => {
    const socket = net.connect({ port: gateway.port, host: '127.0.0.1', noDelay: true });
    let text = '';
    let timer: NodeJS.Timeout | undefined;
    const finish = (closed: boolean): void => {
      clearTimeout(timer);
      socket.destroy();
      const bodies = gateway.upstream.requests.map(({ body: bytes }) => bytes.toString('latin1'));
      const sent = bodies.filter((each) => each.includes(mark)).map((each) => each.replaceAll(mark, 'hello'));
      resolve({ answers: answersIn(text), closed, sent: sent.sort() });
    };
    const wait = (): void => {
      clearTimeout(timer);
      timer = setTimeout(() => finish(false), silentMs);
    };
    socket.on('connect', () => {
      void (async () => {
        for (const piece of pieces) {
          const filled = piece.replaceAll('ACCESS-TOKEN', accessToken).replaceAll('hello', mark);
          socket.write(Buffer.from(filled, 'latin1'));
          await new Promise((done) => setTimeout(done, 5));
        }
        if (isHalfClosed === true) socket.end();
      })();
      wait();
    });
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      wait();
    });
    socket.on('close', () => finish(true));
    socket.on('error', () => undefined);
  });
}

function answersIn(text: string): string[] {
  return text
    .split(/(?=HTTP\/1\.1 \d{3} )/)
    .filter((answer) => answer !== '')
    .map((answer) => {
      const status = /^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 'no answer';
      const code = /"code":"(\w+)"/.exec(answer)?.[1] ?? '';
      const isLast = /\r\nconnection: close\r\n/i.test(answer);
      return `${status} ${code}${isLast ? ' last' : ''}`;
    });
}

/**
 * The same; or one of them ended the connection with a refusal that came before the body was read, and the other kept it
 * because the body had come by then. Either is safe: no byte of a body becomes a request. And node:http runs a request
 * that lies behind a last answer, although nobody is told of it; here nothing runs any more.
 */
function isAlike(ours: Seen, theirs: Seen): boolean {
  const isSame =
    JSON.stringify(ours.answers) === JSON.stringify(theirs.answers) && ours.closed === theirs.closed;
  if (isSame && JSON.stringify(ours.sent) === JSON.stringify(theirs.sent)) return true;
  const isOursShorter = ours.closed && ours.answers.length <= theirs.answers.length;
  const [ended, kept] = isOursShorter ? [ours, theirs] : [theirs, ours];
  const last = ended.answers.at(-1) ?? '';
  if (isSame) return last.endsWith(' last') && ours.sent.every((each) => theirs.sent.includes(each));
  return (
    ended.closed &&
    /^(400 invalid_request|(401|403|415|429|503) \w+) last$/.test(last) &&
    [...ended.answers.slice(0, -1), last.replace(' last', '')].every(
      (answer, index) => answer === kept.answers[index],
    ) &&
    ended.sent.every((each) => kept.sent.includes(each))
  );
}

async function both(each: Case, silentMs: number): Promise<{ ours: Seen; theirs: Seen }> {
  const [ours, theirs] = await Promise.all([exchange(fast, each, silentMs), exchange(plain, each, silentMs)]);
  return { ours, theirs };
}

/** Many at a time; what differs is looked at again alone and with patience, so that only real differences fail. */
async function assertAlike(cases: readonly Case[]): Promise<void> {
  for (let from = 0; from < cases.length; from += 40) {
    const batch = cases.slice(from, from + 40);
    const seen = await Promise.all(batch.map(async (each) => ({ each, ...(await both(each, 250)) })));
    for (const { each } of seen.filter(({ ours, theirs }) => !isAlike(ours, theirs))) {
      let again = await both(each, 2_500);
      if (!isAlike(again.ours, again.theirs)) again = await both(each, 15_000);
      const shown = JSON.stringify({ pieces: each.pieces, ...again }).slice(0, 2_000);
      assert.ok(isAlike(again.ours, again.theirs), `${each.title}: ${shown}`);
    }
  }
}

const body = '{"model":"tiny-gpt2","messages":[{"role":"user","content":"hello"}],"max_tokens":8}';

interface Parts {
  readonly line?: string;
  readonly fields?: readonly string[];
  readonly framing?: string;
  readonly body?: string;
}

function request(parts: Parts = {}): string {
  const content = parts.body ?? body;
  return [
    parts.line ?? 'POST /v1/chat/completions HTTP/1.1',
    'Host: localhost',
    'Authorization: Bearer ACCESS-TOKEN',
    'Content-Type: application/json',
    parts.framing ?? `Content-Length: ${content.length}`,
    ...(parts.fields ?? []),
    '',
    content,
  ].join('\r\n');
}

const one = (title: string, ...pieces: string[]): Case => ({ title, pieces });

describe('what is written by hand', () => {
  const chunked = `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
  const get = 'GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n';
  const refusedBody = request({ body: '{' });
  const build = (): Case[] => {
    const good = request();
    const head = good.slice(0, good.indexOf('\r\n\r\n') + 4);
    return [
      one('one request', good),
      one('two requests in one piece', good + good),
      one('three, the last of another kind', good + good + get),
      one('another kind first', get + good),
      one(
        'a request in single bytes of its head',
        ...(head.slice(0, 30).match(/[^]/g) ?? []),
        head.slice(30) + body,
      ),
      one('a head and a body apart', head, body),
      one('a body in four pieces', head, body.slice(0, 9), body.slice(9, 10), body.slice(10)),
      one('a head in two pieces', head.slice(0, 60), head.slice(60) + body),
      one('a head without its last byte', head.slice(0, -1), `\n${body}`),
      one('half of the next request', good + head.slice(0, 40), head.slice(40) + body),
      one('a body and the next request in one piece', head, body + good),
      one('a next request of another kind behind a body in pieces', head, body + get),
      one('a request behind an empty line', `\r\n${good}`),
      one('an empty line between requests', `${good}\r\n${good}`),
      one('the end of the connection', request({ fields: ['Connection: close'] }) + good),
      one('a fault behind a request', `${good}GARBAGE\r\n\r\n`),
      one('a fault behind two requests', `${good}${good}POST / HTTP/1.1\r\nHost : x\r\n\r\n${good}`),
      one('a longer body than stated', request({ framing: `Content-Length: ${body.length - 3}` })),
      one('a shorter body than stated', request({ framing: `Content-Length: ${body.length + 3}` })),
      one('no body', request({ body: '' }) + good),
      one('a chunked body', request({ framing: 'Transfer-Encoding: chunked', body: chunked }) + good),
      one('both framings', request({ fields: ['Transfer-Encoding: chunked'] })),
      one('a body that is no JSON, then a request', refusedBody + good),
      one('a refused credential, then a request', good.replace('ACCESS-TOKEN', 'bad') + good),
      one('no credential', good.replace(/Authorization: .*\r\n/, '') + good),
      one('a body over the limit', request({ framing: 'Content-Length: 99999999' })),
      one('a length of nine digits', request({ framing: 'Content-Length: 999999999' })),
      one('another media type', good.replace('application/json', 'text/plain') + good),
      one('a gzip body', request({ fields: ['Content-Encoding: gzip'] })),
      one(
        'an Azure path',
        request({ line: 'POST /openai/deployments/tiny-gpt2/chat/completions?api-version=1 HTTP/1.1' }),
      ),
      one('the tutorial path', request({ line: 'POST /generate HTTP/1.1', body: '{"prompt":"a"}' })),
      one('an unknown path', request({ line: 'POST /v1/unknown HTTP/1.1' }) + good),
      one('another method', request({ line: 'PUT /v1/chat/completions HTTP/1.1' }) + good),
      one('an http route', request({ line: 'POST /users HTTP/1.1', body: '{"username":"x"}' }) + good),
      one('Expect', request({ fields: ['Expect: 100-continue'] })),
      one('an unknown expectation', request({ fields: ['Expect: x'] })),
      one('Upgrade', request({ fields: ['Upgrade: h2c', 'Connection: upgrade'] })),
      one('150 fields', request({ fields: Array.from({ length: 150 }, (_, index) => `a${index}: 1`) })),
      one('a head of 17 kB', request({ fields: [`x-a: ${'a'.repeat(17_000)}`] })),
      one('a head of 40 kB', request({ fields: [`x-a: ${'a'.repeat(40_000)}`] })),
      one('a stream', request({ body: body.replace('}', ',"stream":true}') })),
      ...[
        'Host: a b',
        'Host: x',
        'X-A: a\rb',
        'X-A: a\nb',
        'X-A: a\r\n b',
        'X_A: a',
        'X-A : a',
        'X-A',
        ': a',
      ].map((field) => one(`the field ${JSON.stringify(field)}`, request({ fields: [field] }))),
      ...['head', 'body', 'answer'].map((where) => ({
        title: `a caller that says its last word after the ${where}`,
        pieces: [where === 'head' ? head.slice(0, 50) : where === 'body' ? good.slice(0, -5) : good],
        isHalfClosed: true,
      })),
    ];
  };
  it('is answered alike', () => assertAlike(build()));
});

describe('a request behind a last answer', () => {
  it('is not run, which shows that the gateway under test reads for itself', async () => {
    const last = request({ fields: ['Connection: close'] });
    const { answers, sent } = await exchange(fast, one('two requests', last + request()), 30_000);
    assert.deepEqual([answers.length, sent.length], [1, 1]);
  });
});

describe('a flood of mutations', () => {
  /** mulberry32: the same numbers on every run. */
  function generator(seed: number): () => number {
    let state = seed;
    return () => {
      state = (state + 0x6d2b79f5) | 0;
      let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
      mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
    };
  }
  const bytes = [
    '\r',
    '\n',
    '\r\n',
    '\0',
    ' ',
    '\t',
    ':',
    '_',
    '-',
    '\x7f',
    '\x80',
    '\xff',
    '"',
    ',',
    ';',
    '0',
    '9',
    'a',
    '\r\n\r\n',
    '\r\n ',
    'Content-Length: 5\r\n',
    'Transfer-Encoding: chunked\r\n',
    'Host: x\r\n',
    'Connection: close\r\n',
    'Expect: 100-continue\r\n',
  ];

  function mutated(text: string, random: () => number): string {
    const pick = (limit: number): number => Math.floor(random() * limit);
    const lines = text.split('\r\n');
    // Not in the middle of the credential's name in the test: what stands for it must stay whole or be gone.
    let at = pick(text.length);
    const held = text.indexOf('ACCESS-TOKEN');
    if (at > held && at < held + 12) at = held;
    switch (pick(7)) {
      case 0:
        return text.slice(0, at) + (bytes[pick(bytes.length)] ?? '') + text.slice(at);
      case 1:
        return text.slice(0, at) + text.slice(at === held ? at + 12 : at + 1);
      case 2:
        return (
          text.slice(0, at) + (bytes[pick(bytes.length)] ?? '') + text.slice(at === held ? at + 12 : at + 1)
        );
      case 3: {
        const line = pick(Math.max(lines.length - 2, 1));
        return [...lines.slice(0, line + 1), ...lines.slice(line)].join('\r\n');
      }
      case 4: {
        const line = 1 + pick(Math.max(lines.length - 3, 1));
        return [...lines.slice(0, line), ...lines.slice(line + 1)].join('\r\n');
      }
      case 5:
        return text.replace(
          /Content-Length: (\d+)/,
          (_, length: string) => `Content-Length: ${Number(length) + pick(5) - 2}`,
        );
      default:
        return text.replace('\r\n', () => `\r\n${bytes[pick(bytes.length)] ?? ''}\r\n`);
    }
  }

  function cases(seed: number, count: number): Case[] {
    const random = generator(seed);
    const pick = (limit: number): number => Math.floor(random() * limit);
    const bases = [
      request(),
      request() + request(),
      request({
        fields: [
          'Accept: */*',
          'User-Agent: OpenAI/Python 1.0',
          'Connection: keep-alive',
          'X-Stainless-Lang: python',
        ],
      }),
      request({ fields: ['Connection: close'] }),
      request({ body: '{"model":"unknown"}' }),
    ];
    return Array.from({ length: count }, (_, index) => {
      let text = bases[pick(bases.length)] ?? '';
      for (let times = 1 + pick(3); times > 0; times--) text = mutated(text, random);
      const cuts = Array.from({ length: Math.max(pick(5) - 1, 0) }, () => pick(text.length)).sort(
        (a, b) => a - b,
      );
      const pieces = [...cuts, text.length].map((cut, piece) => text.slice(cuts[piece - 1] ?? 0, cut));
      return { title: `mutation ${index} of seed ${seed}`, pieces };
    });
  }
  for (const seed of [1, 2, 3, 4]) {
    it(`is answered alike: seed ${seed}`, () => assertAlike(cases(seed, 200)));
  }
});
