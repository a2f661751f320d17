// Finds the end of HTTP/1.1 answers on a raw socket, at as little cost as possible: the load must not be the bottleneck.

const chunkedEnd = Buffer.from('0\r\n\r\n');

/**
 * Returns a function for the bytes of one connection, with one answer outstanding at a time. Calls `onBody` at the first
 * bytes of a body and `onEnd(status, closes)` at its end.
 */
export function answerReader({ onBody, onEnd }) {
  /** Bytes of a head or body that is not whole yet. */
  let unread = null;
  let head = null;
  return (bytes) => {
    let all = unread === null ? bytes : Buffer.concat([unread, bytes]);
    unread = null;
    if (head === null) {
      const end = all.indexOf('\r\n\r\n');
      if (end === -1) {
        unread = Buffer.from(all);
        return;
      }
      head = headOf(all.latin1Slice(0, end));
      all = all.subarray(end + 4);
      if (all.length > 0) onBody?.();
    } else if (unread === null && head.seen === 0) onBody?.();
    head.seen += all.length;
    if (head.length === null) {
      // The last chunk may be split over two reads: its last bytes are kept until the next.
      const tail = head.tail === null ? all : Buffer.concat([head.tail, all]);
      if (tail.length < 5 || !tail.subarray(-5).equals(chunkedEnd)) {
        head.tail = Buffer.from(tail.subarray(-5));
        return;
      }
    } else if (head.seen < head.length) return;
    const { status, closes } = head;
    head = null;
    onEnd(status, closes);
  };
}

function headOf(text) {
  const length = /\r\ncontent-length: *(\d+)/i.exec(text)?.[1];
  if (length === undefined && !/\r\ntransfer-encoding: *chunked/i.test(text))
    throw new Error(`an answer is framed by neither Content-Length nor chunked:\n${text}`);
  return {
    status: text.slice(9, 12),
    closes: /\r\nconnection: *close/i.test(text),
    length: length === undefined ? null : Number(length),
    seen: 0,
    tail: null,
  };
}
