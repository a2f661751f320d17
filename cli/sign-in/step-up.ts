// A stronger or more recent sign-in, as a gateway asks for it (RFC 9470): read from its challenge, shown as the command that
// gives it. What another machine sends is checked before it reaches a shell or an issuer.

/** The sign-in that would be enough. */
export interface StepUp {
  /** `acr_values`, best first, separated by blanks; null when none is named. */
  readonly acrValues: string | null;
  /** Seconds since the sign-in, at most; null when any age will do. */
  readonly maxAge: number | null;
}

// RFC 6750 §3: values hold neither quotes nor backslashes, so that a parameter ends at the next quote.
const parameter = (challenge: string, name: string): string | null =>
  new RegExp(`(?:^|[ ,])${name}="([^"]*)"`).exec(challenge)?.[1] ?? null;

/** What a `WWW-Authenticate` value asks for; null when it asks for nothing of the kind. */
export function stepUpOf(challenge: string | null): StepUp | null {
  if (challenge === null || challenge.length > 4_096) return null;
  if (parameter(challenge, 'error') !== 'insufficient_user_authentication') return null;
  const acrValues = parameter(challenge, 'acr_values');
  const maxAge = parameter(challenge, 'max_age');
  return {
    acrValues: acrValues !== null && isAcrValues(acrValues) ? acrValues : null,
    maxAge: maxAge === null ? null : parseMaxAge(maxAge),
  };
}

const word = String.raw`[\x21\x23-\x26\x28-\x5b\x5d-\x7e]+`;
const words = new RegExp(`^${word}( ${word})*$`);

/** Whether a text can be `acr_values`: words of printable ASCII without quotes and backslashes. */
export function isAcrValues(text: string): boolean {
  return text.length <= 512 && words.test(text);
}

/** Whole seconds, or null. */
export function parseMaxAge(text: string): number | null {
  return /^\d{1,9}$/.test(text) ? Number(text) : null;
}

/** The flags of `login`; what a shell could read in another way stands in quotes. */
export function stepUpFlags({ acrValues, maxAge }: StepUp): string {
  const acr =
    acrValues === null ? '' : ` --acr ${/^[\w:./-]+$/.test(acrValues) ? acrValues : `'${acrValues}'`}`;
  return `${acr}${maxAge === null ? '' : ` --max-age ${maxAge}`}`;
}

/** The same as parameters of a device authorization request. */
export function stepUpParameters({ acrValues, maxAge }: StepUp): Record<string, string> {
  return {
    ...(acrValues === null ? {} : { acr_values: acrValues }),
    ...(maxAge === null ? {} : { max_age: String(maxAge) }),
  };
}
