// Colour for reports on stdout: only where stdout itself is a terminal, since a report is data.
import type { Terminal } from '../terminal.ts';

export type Paint = Pick<Terminal, 'red' | 'green' | 'yellow' | 'dim' | 'bold'>;

const plain = (text: string): string => text;
const unpainted: Paint = { red: plain, green: plain, yellow: plain, dim: plain, bold: plain };

/** The terminal's colours, or none when stdout is piped. */
export function paintFor(terminal: Terminal): Paint {
  return terminal.stdout.isTTY === true ? terminal : unpainted;
}
