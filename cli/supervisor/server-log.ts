// Where the output of a supervised server goes: on a terminal into data/logs/<server>.log, with warnings in one line on
// the screen; elsewhere unchanged to stderr, for whoever collects it.
import { createWriteStream, existsSync, mkdirSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { serverTitles, type ServerName } from './start-failure.ts';

const maxBytes = 10 * 1024 * 1024;
const quietMs = 10_000;
const warnLevel = 40;
const logRecord = z.object({ level: z.number(), msg: z.string() });

/** Takes one line of a server's output. */
export type TakeLine = (line: string) => void;

/** Passes every line on as it is. */
export function passThrough(write: (text: string) => void): TakeLine {
  return (line) => write(`${line}\n`);
}

/** Keeps every line in a file and shows warnings, the same one at most every ten seconds. */
export function keepInFile(
  server: ServerName,
  dataFolder: string,
  show: (sentence: string) => void,
): TakeLine {
  const folder = join(dataFolder, 'logs');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const file = join(folder, `${server}.log`);
  if (existsSync(file) && statSync(file).size > maxBytes) renameSync(file, `${file}.1`);
  const stream = createWriteStream(file, { flags: 'a', mode: 0o600 });
  stream.on('error', () => undefined); // A full disk must not stop the servers; they report it themselves.
  const shownAt = new Map<string, number>();
  return (line) => {
    stream.write(`${line}\n`);
    const record = parseRecord(line);
    if (record === undefined || record.level < warnLevel) return;
    const now = Date.now();
    if (now - (shownAt.get(record.msg) ?? 0) < quietMs) return;
    if (shownAt.size > 1000) shownAt.clear();
    shownAt.set(record.msg, now);
    show(`${serverTitles[server]}: ${record.msg}`);
  };
}

function parseRecord(line: string): z.output<typeof logRecord> | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    return logRecord.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}
