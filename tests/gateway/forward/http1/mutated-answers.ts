// A corpus of HTTP/1.1 answers and seeded mutations of it.

const ok = 'HTTP/1.1 200 OK\r\n';
const type = 'content-type: application/json\r\n';
/** Answers, good and bad. */
export const corpus = [
  `${ok}${type}content-length: 13\r\nx-request-id: req_1\r\n\r\n{"a":"bcdefg"}`,
  `${ok}${type}content-length: 14\r\nconnection: close\r\n\r\n{"a":"bcdefg"}`,
  `${ok}${type}transfer-encoding: chunked\r\n\r\n6\r\n{"a":1\r\n1\r\n}\r\n0\r\n\r\n`,
  `${ok}${type}transfer-encoding: chunked\r\n\r\na\r\n{"a":"bc"}\r\n0\r\nx-trailer: y\r\n\r\n`,
  `${ok}${type}\r\n{"a":1}`,
  'HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n{}',
  'HTTP/1.0 200 OK\r\n\r\n{}',
  'HTTP/1.1 204 No Content\r\nserver: x\r\n\r\n',
  'HTTP/1.1 304 Not Modified\r\ncontent-length: 10\r\n\r\n',
  'HTTP/1.1 503 \r\nretry-after: 7\r\ncontent-length: 2\r\n\r\n{}',
  `HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n${ok}content-length: 2\r\n\r\n{}`,
  `HTTP/1.1 100 Continue\r\n\r\n${ok}content-length: 2\r\n\r\n{}`,
  'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n',
  `${ok}content-length: 2\r\ncontent-length: 2\r\n\r\n{}`,
  `${ok}content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n`,
  `${ok}transfer-encoding: chunked, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n`,
  `${ok}transfer-encoding: gzip\r\n\r\n{}`,
  `${ok}x: y\r\n z\r\ncontent-length: 2\r\n\r\n{}`,
  `${ok}x : y\r\ncontent-length: 2\r\n\r\n{}`,
  `${ok}x: y\ncontent-length: 2\r\n\r\n{}`,
  `${ok}x: a\0b\r\ncontent-length: 2\r\n\r\n{}`,
  `${ok}content-length: 2, 2\r\n\r\n{}`,
  `${ok}content-length: +2\r\n\r\n{}`,
  `${ok}transfer-encoding: chunked\r\n\r\n2;ext=1\r\n{}\r\n0\r\n\r\n`,
  `${ok}transfer-encoding: chunked\r\n\r\n2 \r\n{}\r\n0\r\n\r\n`,
  `${ok}transfer-encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n`,
  `${ok}x: ${'a'.repeat(20_000)}\r\ncontent-length: 2\r\n\r\n{}`,
  'HTTP/2.0 200 OK\r\ncontent-length: 2\r\n\r\n{}',
  'HTTP/1.1 99 OK\r\ncontent-length: 2\r\n\r\n{}',
  'ICY 200 OK\r\ncontent-length: 2\r\n\r\n{}',
  '',
];

/** A small generator with a seed (mulberry32), so that a failure can be repeated. */
export function randomFrom(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

const nasty = [
  '\0',
  '\t',
  '\n',
  '\r',
  '\r\n',
  '\r\n\r\n',
  ' ',
  '  ',
  ':',
  ',',
  ';',
  '0',
  '1',
  '9',
  'a',
  'F',
  '-',
  '+',
  '"',
  '\x7f',
  '\x80',
  '\xff',
  'content-length: 1\r\n',
  'Content-Length: 3\r\n',
  'transfer-encoding: chunked\r\n',
  'Transfer-Encoding: x\r\n',
  'connection: close\r\n',
  'connection: upgrade\r\nupgrade: h2c\r\n',
  'chunked',
  'HTTP/1.1 200 OK\r\n\r\n',
  '0\r\n\r\n',
  ' x: y\r\n',
];

/** One of the corpus, or a cross of two, with up to three changes. */
export function mutated(random: (below: number) => number): string {
  const pick = <Item>(items: readonly Item[]): Item => items[random(items.length)] as Item; // Below its length.
  let text = pick(corpus);
  for (let count = 1 + random(3); count > 0; count--) {
    const at = random(text.length + 1);
    const kind = random(5);
    if (kind === 0) text = text.slice(0, at) + text.slice(at + 1 + random(3));
    else if (kind === 1) text = text.slice(0, at) + pick(nasty) + text.slice(at + 1);
    else if (kind === 2) {
      // At the start of a line, where whole fields may stand.
      const line = text.indexOf('\r\n', at);
      text =
        line === -1 ? text + pick(nasty) : `${text.slice(0, line + 2)}${pick(nasty)}${text.slice(line + 2)}`;
    } else if (kind === 3) {
      const other = pick(corpus);
      text = text.slice(0, at) + other.slice(random(other.length + 1));
    } else text = text.slice(0, at) + pick(nasty) + text.slice(at);
  }
  return text;
}
