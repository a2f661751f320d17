// Feeds bytes to the reader of answers in pieces of any size and tells what came of them.
import { AnswerReader, type AnswerFault } from '../../../../gateway/forward/http1/answer-reader.ts';
import type { AnswerHead } from '../../../../gateway/forward/http1/head-reader.ts';

export interface ReadAnswer {
  readonly head: AnswerHead | null;
  readonly body: string;
  readonly hasEnded: boolean;
  readonly hasSurplus: boolean;
  readonly fault: AnswerFault | null;
}

/** Reads one answer; `closes` says that the peer ends the connection behind the bytes. */
export function readAnswer(
  text: string | Buffer,
  options: { size?: number; closes?: boolean } = {},
): ReadAnswer {
  const bytes = Buffer.isBuffer(text) ? text : Buffer.from(text, 'latin1');
  const size = options.size ?? bytes.length;
  const heard: { head: AnswerHead | null; body: string; hasEnded: boolean; hasSurplus: boolean } = {
    head: null,
    body: '',
    hasEnded: false,
    hasSurplus: false,
  };
  const reader = new AnswerReader({
    head: (head) => {
      heard.head = head;
    },
    body: (piece) => {
      heard.body += piece.toString('latin1');
    },
    end: (hasSurplus) => {
      heard.hasEnded = true;
      heard.hasSurplus = hasSurplus;
    },
  });
  reader.next();
  let fault: AnswerFault | null = null;
  // One buffer for all pieces, as on a connection: what is kept of a piece must have been copied.
  const shared = Buffer.alloc(Math.max(size, 1));
  for (let at = 0; at < bytes.length && fault === null && !heard.hasEnded; at += size) {
    shared.fill(0x58);
    const count = bytes.copy(shared, 0, at, at + size);
    fault = reader.push(shared, count);
  }
  if (fault === null && !heard.hasEnded && options.closes === true) fault = reader.close();
  return { ...heard, fault };
}
