// Finds stop texts in a stream of text pieces. A stop text is never emitted, also when it is split over pieces: what
// could be its beginning is held back until it is clear.

/** Text to pass on, and whether a stop text was found behind it. */
export interface Scanned {
  readonly text: string;
  readonly stopped: boolean;
}

/** Scans one completion. */
export interface StopScanner {
  readonly push: (piece: string) => Scanned;
  /** The held-back rest, when the completion ends for another reason. */
  readonly flush: () => string;
}

/** Creates a scanner; the stop text that is complete first wins, so that the result does not depend on piece borders. */
export function createStopScanner(stopTexts: readonly string[]): StopScanner {
  const longest = Math.max(0, ...stopTexts.map((text) => text.length));
  let held = '';
  return {
    push: (piece) => {
      if (longest === 0) return { text: piece, stopped: false };
      const text = held + piece;
      const start = earliestStop(text, stopTexts);
      if (start !== -1) {
        held = '';
        return { text: text.slice(0, start), stopped: true };
      }
      const keep = possibleBeginning(text, stopTexts, longest);
      held = text.slice(text.length - keep);
      return { text: text.slice(0, text.length - keep), stopped: false };
    },
    flush: () => {
      const rest = held;
      held = '';
      return rest;
    },
  };
}

function earliestStop(text: string, stopTexts: readonly string[]): number {
  let bestStart = -1;
  let bestEnd = Infinity;
  for (const stopText of stopTexts) {
    const start = text.indexOf(stopText);
    const end = start + stopText.length;
    if (start === -1 || end > bestEnd || (end === bestEnd && start > bestStart)) continue;
    [bestStart, bestEnd] = [start, end];
  }
  return bestStart;
}

/** Length of the longest end of `text` with which a stop text begins. */
function possibleBeginning(text: string, stopTexts: readonly string[], longest: number): number {
  for (let length = Math.min(longest - 1, text.length); length > 0; length--) {
    const end = text.slice(text.length - length);
    if (stopTexts.some((stopText) => stopText.startsWith(end))) return length;
  }
  return 0;
}
