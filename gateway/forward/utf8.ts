// Bytes to text, refusing what is not UTF-8.
import { isUtf8 } from 'node:buffer';

/** The text of these bytes, or null when they are not UTF-8. */
export function utf8Text(bytes: Buffer, from = 0, to = bytes.length): string | null {
  const text = bytes.toString('utf8', from, to);
  // Decoding puts U+FFFD for what it cannot read: a text without one was readable, which is cheaper to see than to check.
  return text.includes('\ufffd') && !isUtf8(bytes.subarray(from, to)) ? null : text;
}
