// Values of tokens and requests as they are shown: quoted, short, and unable to drive a terminal.
import { printable } from '../wording.ts';

/** A value of a token, quoted, short and safe for a terminal. */
export function shownValue(value: unknown): string {
  if (value === undefined) return 'nothing';
  const text = printable(JSON.stringify(value));
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
}

/** Several of them. */
export const shownList = (values: Iterable<unknown>): string => [...values].map(shownValue).join(', ');

/** A time in epoch seconds as people read it; anything else as it is. */
export function shownTime(value: unknown): string {
  const isTime = typeof value === 'number' && Math.abs(value) < 8.64e12;
  return isTime ? new Date(value * 1_000).toISOString().replace('.000Z', 'Z') : shownValue(value);
}
