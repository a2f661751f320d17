// JSON text as pure ASCII: whatever a terminal, a log viewer or a line splitter may act upon is a \u escape. JSON.stringify
// has escaped the control characters below 0x20.
const beyondAscii = /[\x7f-\uffff]/g;
const anyBeyondAscii = /[\x7f-\uffff]/;

/** The same JSON without a character above 0x7e. */
export function asciiJson(json: string): string {
  return anyBeyondAscii.test(json) ? json.replaceAll(beyondAscii, escaped) : json;
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
