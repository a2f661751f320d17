// APIM's policy expressions (C#). They are not run: the few that say whom a counter counts are recognised by their text.

/** Whom a counter key counts, in the words of limits.yaml; `isExact` is false where ours counts a neighbour of it. */
export interface CounterKey {
  readonly by: 'principal' | 'client' | 'caller_address' | 'gateway';
  readonly isExact: boolean;
  readonly note: string;
}

/** Whether a text is or holds an expression, or a named value, which only APIM knows. */
export function isExpression(text: string): boolean {
  return /@[({]|\{\{.*\}\}/.test(text);
}

const keys: readonly (readonly [RegExp, CounterKey])[] = [
  [/context\.request\.ipaddress/i, { by: 'caller_address', isExact: true, note: '' }],
  [/"(azp|appid|client_id)"/i, { by: 'client', isExact: true, note: '' }],
  [
    /\.subject\b|"(oid|sub|authorization)"|context\.user\??\.id/i,
    { by: 'principal', isExact: true, note: '' },
  ],
  [
    /context\.subscription\??\.(id|key|name)|ocp-apim-subscription-key|"api-key"/i,
    { by: 'principal', isExact: false, note: 'there are no subscriptions here: the principal is counted' },
  ],
  [
    /context\.(api|product|operation|deployment)\b/i,
    { by: 'gateway', isExact: false, note: 'one count for the whole gateway' },
  ],
];

/** Reads a `counter-key`. A fixed text is one counter for everybody; an unknown expression counts the principal. */
export function readCounterKey(text: string): CounterKey {
  if (!isExpression(text)) return { by: 'gateway', isExact: true, note: '' };
  // `a ?? b` counts b only for callers without a: the first of several alternatives says whom it counts.
  const [first = '', ...others] = text.split('??');
  const matched = keys.filter(([pattern]) => pattern.test(first));
  const [only] = matched;
  if (only !== undefined && matched.length === 1)
    return others.length === 0 ? only[1] : { ...only[1], isExact: false };
  return {
    by: 'principal',
    isExact: false,
    note: 'the expression of counter-key is not understood: the principal is counted',
  };
}

const closing: Readonly<Record<string, string>> = { '(': ')', '{': '}' };

/** Where an expression ends that opens at `open` with a bracket, after that bracket's partner; null: nowhere. */
export function expressionEnd(text: string, open: number): number | null {
  const close = closing[text[open] ?? ''];
  let depth = 0;
  for (let at = open; at < text.length; at++) {
    const character = text[at];
    if (character === '"') {
      at = stringEnd(text, at);
    } else if (character === text[open]) depth++;
    else if (character === close && --depth === 0) return at + 1;
  }
  return null;
}

/** Index of the quote that ends a C# string; `@"…"` doubles its quotes, others escape them. */
function stringEnd(text: string, quote: number): number {
  const isVerbatim = text[quote - 1] === '@';
  for (let at = quote + 1; at < text.length; at++) {
    if (!isVerbatim && text[at] === '\\') at++;
    else if (text[at] === '"') {
      if (!isVerbatim || text[at + 1] !== '"') return at;
      at++;
    }
  }
  return text.length;
}
