// ISO 8601 times of records. Within one second only the milliseconds differ, and many records share one of those.
let second = Number.NaN;
let prefix = '';
let written = Number.NaN;
let text = '';

/** `2026-11-22T10:14:07.123Z`, as Date.prototype.toISOString writes it. @param ms whole epoch milliseconds, from 1970 on */
export function isoTime(ms: number): string {
  if (ms !== written) {
    text = write(ms);
    written = ms;
  }
  return text;
}

function write(ms: number): string {
  const rest = ms % 1_000;
  if (ms - rest !== second) {
    second = ms - rest;
    prefix = new Date(ms).toISOString().slice(0, -4);
  }
  return rest > 99 ? `${prefix}${rest}Z` : rest > 9 ? `${prefix}0${rest}Z` : `${prefix}00${rest}Z`;
}
