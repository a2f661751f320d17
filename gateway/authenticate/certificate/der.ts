// Reads DER, as far as certificates and revocation lists need it: one spelling, definite lengths, nothing left over.
// What it is given has passed OpenSSL already; whatever it does not understand it refuses.

/** One value: its tag and its contents. */
export interface DerValue {
  /** Class, form and number in one byte, e.g. 0x30 for a SEQUENCE. */
  readonly tag: number;
  readonly contents: Buffer;
  /** With tag and length. */
  readonly whole: Buffer;
}

/** Tags that are asked for by name. */
export const derTag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8String: 0x0c,
  numericString: 0x12,
  printableString: 0x13,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  bmpString: 0x1e,
  sequence: 0x30,
  set: 0x31,
} as const;

/** The bytes are not DER of the expected form. */
export class DerFault extends Error {}

/** The one value that the bytes are. @throws DerFault */
export function readDer(bytes: Buffer, tag?: number): DerValue {
  const { value, end } = valueAt(bytes, 0);
  if (end !== bytes.length) throw new DerFault('bytes after the value');
  return tag === undefined ? value : expected(value, tag);
}

/** The values of a constructed value, in order. @throws DerFault */
export function childrenOf(value: DerValue): DerValue[] {
  const children: DerValue[] = [];
  for (let at = 0; at < value.contents.length;) {
    const { value: child, end } = valueAt(value.contents, at);
    children.push(child);
    at = end;
  }
  return children;
}

/** The value, if it is there and has the tag. @throws DerFault */
export function expected(value: DerValue | undefined, tag: number): DerValue {
  if (value?.tag !== tag) throw new DerFault(`no value with the tag ${tag}`);
  return value;
}

/** An object identifier in dotted form. @throws DerFault */
export function oidOf(value: DerValue | undefined): string {
  const { contents } = expected(value, derTag.oid);
  const arcs: number[] = [];
  let arc = 0;
  for (const [index, byte] of contents.entries()) {
    arc = arc * 128 + (byte & 0x7f);
    if (!Number.isSafeInteger(arc)) throw new DerFault('an arc that is too large');
    if ((byte & 0x80) !== 0) {
      if (index === contents.length - 1) throw new DerFault('an arc without its end');
      continue;
    }
    // The first two arcs share a number.
    const root = Math.min(2, Math.floor(arc / 40));
    arcs.push(...(arcs.length === 0 ? [root, arc - 40 * root] : [arc]));
    arc = 0;
  }
  if (arcs.length === 0) throw new DerFault('an empty object identifier');
  return arcs.join('.');
}

/** Epoch milliseconds of a time as RFC 5280 has it: UTCTime or GeneralizedTime, with seconds and Z. @throws DerFault */
export function timeOf(value: DerValue | undefined): number {
  const text = value?.contents.toString('latin1') ?? '';
  const long = value?.tag === derTag.utcTime ? `${Number(text.slice(0, 2)) < 50 ? '20' : '19'}${text}` : text;
  const [, year, month, day, hour, minute, second] =
    /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(long) ?? [];
  const isTime = value?.tag === derTag.utcTime || value?.tag === derTag.generalizedTime;
  const ms = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  if (!isTime || Number.isNaN(ms)) throw new DerFault('no time');
  return ms;
}

function valueAt(bytes: Buffer, start: number): { value: DerValue; end: number } {
  const tag = byteAt(bytes, start);
  // Tags of several bytes occur in neither.
  if ((tag & 0x1f) === 0x1f) throw new DerFault('a long tag');
  const first = byteAt(bytes, start + 1);
  let at = start + 2;
  let length = first;
  if (first >= 0x80) {
    const count = first & 0x7f;
    if (count === 0 || count > 4) throw new DerFault('a length without end, or too long');
    length = 0;
    for (let index = 0; index < count; index++) length = length * 256 + byteAt(bytes, at + index);
    // The shortest spelling is the only one.
    if (length < 0x80 || byteAt(bytes, at) === 0)
      throw new DerFault('a length that is not in its shortest form');
    at += count;
  }
  const end = at + length;
  if (end > bytes.length) throw new DerFault('a value that ends too early');
  return { value: { tag, contents: bytes.subarray(at, end), whole: bytes.subarray(start, end) }, end };
}

function byteAt(bytes: Buffer, at: number): number {
  const byte = bytes[at];
  if (byte === undefined) throw new DerFault('a value that ends too early');
  return byte;
}
