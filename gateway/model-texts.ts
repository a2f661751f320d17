// Every text of a body that a model would read. The rule is turned round on purpose: whatever is not known to be
// invisible to the model is read, so a member that this file has never heard of cannot carry a text past a guard.

/** Top-level members that no model reads. */
const unread = new Set([
  'model',
  'user',
  'metadata',
  'encoding_format',
  'service_tier',
  'safety_identifier',
  'prompt_cache_key',
  'stream',
  'stream_options',
]);
/** Members whose values are words of the API, not texts: closed sets that parameter-types.ts or the upstream checks. */
const structural = new Set(['role', 'type']);
/** Members whose keys are names that the caller invents and the model reads (JSON Schema of tools). */
const namedByCaller = new Set(['properties', 'patternProperties', '$defs', 'definitions']);

/** Calls `visit` with each text until it returns true; @returns whether it did. */
export function someModelText(
  body: Readonly<Record<string, unknown>>,
  visit: (text: string) => boolean,
): boolean {
  for (const key in body) {
    const value = body[key];
    if (mayHoldText(value) && Object.hasOwn(body, key) && !unread.has(key) && someText(value, key, visit))
      return true;
  }
  return false;
}

const mayHoldText = (value: unknown): boolean =>
  typeof value === 'string' || (typeof value === 'object' && value !== null);

function someText(value: unknown, key: string, visit: (text: string) => boolean): boolean {
  if (typeof value === 'string') return !structural.has(key) && visit(value);
  if (Array.isArray(value)) {
    for (const entry of value) if (someText(entry, key, visit)) return true;
    return key === 'content' && value.length > 1 && visit(joinParts(value));
  }
  return typeof value === 'object' && value !== null && someMemberText(value, key, visit);
}

function someMemberText(value: object, key: string, visit: (text: string) => boolean): boolean {
  const readsKeys = namedByCaller.has(key);
  const members = value as Readonly<Record<string, unknown>>; // An object of parsed JSON.
  // Not Object.entries: a list of pairs for each object costs more than the walk.
  for (const name in members) {
    if (!Object.hasOwn(members, name)) continue;
    if (readsKeys && visit(name)) return true;
    const inner = members[name];
    if (mayHoldText(inner) && someText(inner, readsKeys ? '' : name, visit)) return true;
  }
  return false;
}

/** Content parts as one text: a word cut in two by a part boundary is whole again for the model. */
function joinParts(parts: readonly unknown[]): string {
  return parts
    .map((part) => {
      const text = typeof part === 'object' && part !== null && 'text' in part ? part.text : part;
      return typeof text === 'string' ? text : '';
    })
    .join('');
}

/** Whether a member holds token ids instead of text, which no guard can read. */
export function holdsTokenIds(value: unknown): boolean {
  if (!Array.isArray(value)) return false;
  return value.some(
    (entry) =>
      typeof entry === 'number' || (Array.isArray(entry) && entry.some((inner) => typeof inner === 'number')),
  );
}
