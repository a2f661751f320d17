// How times, durations and paths are written for people and in JSON.
import { homedir } from 'node:os';

/** `2026-11-22T10:14:07Z` */
export function isoSeconds(epochSeconds: number): string {
  return new Date(Math.floor(epochSeconds) * 1000).toISOString().replace('.000Z', 'Z');
}

/** `22 December`, with the year when it is another one. */
export function longDate(epochSeconds: number): string {
  const date = new Date(epochSeconds * 1000);
  const sameYear = date.getFullYear() === new Date().getFullYear();
  return date.toLocaleDateString('en-GB', {
    day: 'numeric',
    month: 'long',
    ...(sameYear ? {} : { year: 'numeric' }),
  });
}

/** `in 59 min`, `in 3 h`, `2 min ago`. */
export function fromNow(epochSeconds: number): string {
  const seconds = Math.round(epochSeconds - Date.now() / 1000);
  const size = Math.abs(seconds);
  const amount =
    size < 90
      ? `${size} s`
      : size < 5_400
        ? `${Math.round(size / 60)} min`
        : size < 172_800
          ? `${Math.round(size / 3600)} h`
          : `${Math.round(size / 86_400)} days`;
  return seconds < 0 ? `${amount} ago` : `in ${amount}`;
}

/** Seconds of `30m`, `90s`, `2h` or a bare number of seconds; null when it is none of these. */
export function parseDuration(text: string): number | null {
  const match = /^(\d{1,7})(s|m|h|d)?$/.exec(text);
  if (match === null) return null;
  const factor = { s: 1, m: 60, h: 3_600, d: 86_400 }[match[2] ?? 's'] ?? 1;
  return Number(match[1]) * factor;
}

/** `~/…` for a path in the home folder. */
export function homeRelative(path: string): string {
  const home = homedir();
  return path === home || path.startsWith(`${home}/`) ? `~${path.slice(home.length)}` : path;
}

/** Text from another machine, safe to show: control characters, which could drive the terminal, become `?`. */
export function printable(text: string): string {
  return text.replaceAll(
    /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g,
    '?',
  );
}

/** `1 decision`, `12,408 decisions`. */
export function counted(count: number, noun: string): string {
  return `${count.toLocaleString('en-GB')} ${noun}${count === 1 ? '' : 's'}`;
}
