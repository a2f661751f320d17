// What single bytes may be in an HTTP/1.1 answer, as tables: one look-up per byte on the hot path.

export const cr = 0x0d;
export const lf = 0x0a;
export const colon = 0x3a;
export const space = 0x20;
export const tab = 0x09;

/** RFC 9110 §5.6.2: the lower-case byte of a `tchar`, 0 for every other byte. */
export const tokenByte = Uint8Array.from({ length: 256 }, (_, byte) =>
  /[!#$%&'*+.^_`|~0-9A-Za-z-]/.test(String.fromCharCode(byte))
    ? String.fromCharCode(byte).toLowerCase().charCodeAt(0)
    : 0,
);

/** RFC 9110 §5.5: 1 for what a field value and a reason phrase may hold: tab, blank, visible ASCII and obs-text. */
export const valueByte = Uint8Array.from({ length: 256 }, (_, byte) =>
  byte === tab || (byte >= space && byte !== 0x7f) ? 1 : 0,
);

/** The value of a hexadecimal digit, -1 for every other byte. */
export const hexDigit = Int8Array.from({ length: 256 }, (_, byte) => {
  const character = String.fromCharCode(byte);
  return /[0-9A-Fa-f]/.test(character) ? Number.parseInt(character, 16) : -1;
});
