// What `validate-azure-ad-token` and `validate-jwt` have in common: where the token is, required claims, what has no
// equivalent.
import type { PolicyElement } from './document.ts';
import { isExpression } from './expression.ts';
import { note, type Entry, type Imported } from './imported.ts';

/** APIM compares a claim without `separator` as one text, `scp` too: nothing holds this character. */
const noSeparator = '\u001F';

const ignoredAttributes: Readonly<Record<string, string>> = {
  'failed-validation-httpcode':
    'refusals have fixed statuses here: 401 for the token, 403 for a claim that it lacks',
  'failed-validation-error-message': 'refusals have fixed texts here',
  'output-token-variable-name': 'rules read the claims as principal.claims',
  'require-scheme': 'the schemes are Bearer and DPoP',
};

/** Notes a token that APIM reads from elsewhere. */
export function noteTokenSource(imported: Imported, element: PolicyElement): void {
  const header = element.attributes.get('header-name');
  const elsewhere = ['query-parameter-name', 'token-value'].find((name) => element.attributes.has(name));
  const isOtherHeader = header !== undefined && header.toLowerCase() !== 'authorization';
  if (elsewhere === undefined && !isOtherHeader) return;
  const where = elsewhere ?? `header-name="${header ?? ''}"`;
  note(imported, element, 'differs', `${where}: access tokens are read from Authorization alone`);
}

/** Notes attributes without an equivalent that change no decision. */
export function noteAttributes(imported: Imported, element: PolicyElement): void {
  for (const [name, text] of Object.entries(ignoredAttributes)) {
    if (element.attributes.has(name)) note(imported, element, 'ignored', `${name}: ${text}`);
  }
  if (element.children.some((child) => child.name === 'decryption-keys'))
    note(imported, element, 'differs', 'decryption-keys: encrypted tokens are refused here');
}

/** `required_claims` of an issuer, with rules for what that cannot say. */
export function requiredClaims(imported: Imported, element: PolicyElement, issuer: string): Entry {
  const required: Record<string, unknown> = {};
  const sample: Record<string, unknown> = {};
  const claims = element.children
    .filter((child) => child.name === 'required-claims')
    .flatMap(({ children }) => children.filter((child) => child.name === 'claim'));
  for (const claim of claims) {
    const name = claim.attributes.get('name') ?? '';
    const values = claim.children.filter((child) => child.name === 'value').map(({ text }) => text);
    const match = claim.attributes.get('match') === 'any' ? 'any' : 'all';
    const separator = claim.attributes.get('separator');
    if (name === '' || [name, ...values].some(isExpression)) {
      note(
        imported,
        claim,
        'missing',
        'a claim by expression or named value: write its text into issuers.yaml',
      );
    } else if (values.length === 0) {
      imported.rules.push(presenceRule(imported, issuer, name));
      note(imported, claim, 'imported', `rules.yaml: the claim ${name} must be there`);
      sample[name] = 'x';
    } else if (Object.hasOwn(required, name)) {
      note(imported, claim, 'missing', `a second claim element for ${name}: add a rule to rules.yaml`);
    } else {
      required[name] = { [match]: values, separator: separator ?? noSeparator };
      const shown = match === 'all' ? values : values.slice(0, 1);
      sample[name] =
        separator === undefined ? (shown.length === 1 ? shown[0] : shown) : shown.join(separator);
    }
  }
  imported.sampleClaims.set(issuer, sample);
  return required;
}

function presenceRule(imported: Imported, issuer: string, claim: string): Entry {
  return {
    name: `${issuer}-needs-a-claim-${imported.rules.length + 1}`,
    effect: 'deny',
    issuers: [issuer],
    when: `!(${JSON.stringify(claim)} in principal.claims)`,
  };
}

/**
 * Audiences as written, or those that the person who imports names. With none, APIM takes every audience of the listed
 * client applications: imported under the name that says so; without listed ones null, with a note.
 */
export function audiencesOf(
  imported: Imported,
  element: PolicyElement,
  { written, hasClients }: { readonly written: readonly string[]; readonly hasClients: boolean },
): readonly string[] | { readonly insecure_any: true } | null {
  const usable = written.filter((audience) => !isExpression(audience));
  if (usable.length < written.length)
    note(imported, element, 'differs', 'audiences by expression or named value are left out');
  const audiences = [...usable, ...imported.answers.audiences];
  if (audiences.length > 0) return audiences;
  if (written.length === 0 && hasClients) {
    note(
      imported,
      element,
      'differs',
      'it names no audience, so tokens for other services are accepted, too (insecure_any): import again with --audience',
    );
    return { insecure_any: true };
  }
  note(
    imported,
    element,
    'missing',
    'it names no audience, and tokens for other services must not be accepted: import again with --audience',
  );
  return null;
}
