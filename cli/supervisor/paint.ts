// Colour for the start-up block, only where it is read by a person: off without a terminal and with NO_COLOR.
import { styleText } from 'node:util';

type Format = 'green' | 'red' | 'yellow' | 'dim' | 'bold';

/** Colours text for stdout; NO_COLOR wins even over FORCE_COLOR. */
export function paint(format: Format, text: string): string {
  if ((process.env['NO_COLOR'] ?? '') !== '' || process.env['TERM'] === 'dumb') return text;
  return styleText(format, text, { stream: process.stdout });
}

/** Colours the mark at the start of a line: `✓`, `!` or `✗`. */
export function paintMark(line: string): string {
  const formats: Record<string, Format> = { '✓': 'green', '!': 'yellow', '✗': 'red' };
  return line.replace(
    /^(\s*)([✓!✗])/u,
    (_, space: string, mark: string) => `${space}${paint(formats[mark] ?? 'bold', mark)}`,
  );
}
