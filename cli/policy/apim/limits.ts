// APIM `rate-limit`, `rate-limit-by-key`, `quota`, `quota-by-key` and `llm-token-limit` (also under its older name).
import type { PolicyElement } from './document.ts';
import { isExpression, readCounterKey } from './expression.ts';
import { freeName, note, type Imported } from './imported.ts';

const headerAttributes = [
  'retry-after-header-name',
  'remaining-calls-header-name',
  'total-calls-header-name',
  'remaining-tokens-header-name',
  'remaining-quota-tokens-header-name',
  'tokens-consumed-header-name',
];
const variableAttributes = [
  'retry-after-variable-name',
  'remaining-calls-variable-name',
  'remaining-tokens-variable-name',
  'remaining-quota-tokens-variable-name',
  'tokens-consumed-variable-name',
];
const longestWindowSeconds = 86_400;
/** Lengths of a quota that are periods of the calendar. */
const periodOfSeconds: Readonly<Record<number, string>> = {
  3_600: 'hour',
  86_400: 'day',
  604_800: 'week',
  2_592_000: 'month',
  2_678_400: 'month',
  31_536_000: 'year',
};
const periodOfName: Readonly<Record<string, string>> = {
  hourly: 'hour',
  daily: 'day',
  weekly: 'week',
  monthly: 'month',
  yearly: 'year',
};

/** Calls in a window. */
export function rateLimit(imported: Imported, element: PolicyElement): void {
  const requests = wholeAttribute(imported, element, 'calls');
  const seconds = wholeAttribute(imported, element, 'renewal-period');
  if (requests === null || seconds === null) return;
  noteInnerLimits(imported, element);
  if (seconds > longestWindowSeconds) {
    note(
      imported,
      element,
      'missing',
      'renewal-period: a window is at most 24h here; use a period in limits.yaml',
    );
    return;
  }
  add(imported, element, 'rate-limit', { requests, window: `${seconds}s` });
}

/** Calls in a long period; what counts bandwidth has no equivalent. */
export function quota(imported: Imported, element: PolicyElement): void {
  if (element.attributes.has('bandwidth'))
    note(imported, element, 'missing', 'bandwidth is not counted here; limit model_tokens instead');
  if (!element.attributes.has('calls')) return;
  const requests = wholeAttribute(imported, element, 'calls');
  const seconds = wholeAttribute(imported, element, 'renewal-period');
  if (requests === null || seconds === null) return;
  noteInnerLimits(imported, element);
  const period = periodOfSeconds[seconds];
  if (period !== undefined) {
    note(
      imported,
      element,
      'differs',
      `the ${period} of the calendar (UTC); a used-up quota is 429 insufficient_quota, not 403`,
    );
    add(imported, element, 'quota', { requests, period });
  } else if (seconds <= longestWindowSeconds) {
    note(
      imported,
      element,
      'differs',
      'a window, whose count is forgotten with the process unless gateway.redis is set',
    );
    add(imported, element, 'quota', { requests, window: `${seconds}s` });
  } else
    note(
      imported,
      element,
      'missing',
      `renewal-period="${seconds}" is no hour, day, week, month (30 days) or year`,
    );
}

/** Model tokens per minute, per period, or both. */
export function tokenLimit(imported: Imported, element: PolicyElement): void {
  const { attributes } = element;
  const isEstimated = attributes.get('estimate-prompt-tokens')?.toLowerCase() === 'true';
  if (!isEstimated)
    note(
      imported,
      element,
      'differs',
      'model tokens are always reserved before a request, so parallel ones cannot exceed the limit',
    );
  if (attributes.has('tokens-per-minute')) {
    const modelTokens = wholeAttribute(imported, element, 'tokens-per-minute');
    if (modelTokens !== null)
      add(imported, element, 'token-limit', { model_tokens: modelTokens, window: '1m' });
  }
  if (!attributes.has('token-quota')) return;
  const modelTokens = wholeAttribute(imported, element, 'token-quota');
  const period = periodOfName[attributes.get('token-quota-period')?.toLowerCase() ?? ''];
  if (period === undefined) {
    note(
      imported,
      element,
      'missing',
      'token-quota-period is none of Hourly, Daily, Weekly, Monthly, Yearly',
    );
    return;
  }
  if (modelTokens === null) return;
  note(imported, element, 'differs', 'a used-up quota is 429 insufficient_quota, not 403');
  add(imported, element, 'token-quota', { model_tokens: modelTokens, period });
}

function add(imported: Imported, element: PolicyElement, name: string, what: Record<string, unknown>): void {
  const isByKey = element.attributes.has('counter-key');
  const key = isByKey
    ? readCounterKey(element.attributes.get('counter-key') ?? '')
    : {
        by: 'principal' as const,
        isExact: false,
        note: 'there are no subscriptions here: the principal is counted',
      };
  const free = freeName(imported.limits, name);
  imported.limits.set(free, { by: key.by, ...what });
  note(
    imported,
    element,
    key.isExact ? 'imported' : 'differs',
    `limits.yaml: ${free}, by ${key.by}${key.note === '' ? '' : ` (${key.note})`}`,
  );
  const { attributes } = element;
  for (const condition of ['increment-condition', 'increment-count', 'increment-after']) {
    if (attributes.has(condition))
      note(imported, element, 'differs', `${condition}: every request counts one here`);
  }
  for (const header of headerAttributes.filter((each) => attributes.has(each)))
    note(imported, element, 'ignored', `${header}: the headers are RateLimit, x-ratelimit-* and Retry-After`);
  for (const variable of variableAttributes.filter((each) => attributes.has(each)))
    note(imported, element, 'ignored', `${variable}: there are no variables here`);
  if (attributes.has('first-period-start'))
    note(imported, element, 'ignored', 'first-period-start: periods begin with the calendar');
}

/** Limits of single APIs and operations inside `rate-limit` and `quota`. */
function noteInnerLimits(imported: Imported, element: PolicyElement): void {
  if (element.children.length > 0)
    note(
      imported,
      element,
      'missing',
      'limits of single APIs or operations: name further limits in routes.yaml',
    );
}

function wholeAttribute(imported: Imported, element: PolicyElement, name: string): number | null {
  const text = element.attributes.get(name) ?? '';
  const value = /^\d{1,12}$/.test(text) ? Number(text) : 0;
  if (value > 0) return value;
  const why = isExpression(text)
    ? 'is an expression'
    : text === ''
      ? 'is missing'
      : 'is no whole number above 0';
  note(imported, element, 'missing', `${name} ${why}: state it in limits.yaml`);
  return null;
}
