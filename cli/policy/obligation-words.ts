// What a permit is bound to, in plain words.
import type { ShownObligations } from '../../gateway/authorize/index.ts';
import { printable } from '../wording.ts';
import { shownValue } from './shown-value.ts';

const longestMessage = 60;

/** Obligations as they apply, or as a test expects them. */
type Worded = {
  readonly [Key in Exclude<keyof ShownObligations, 'rules'>]?: ShownObligations[Key] | undefined;
};

/** `limits few; ceilings max_tokens 50; system message "Be brief."`: everything but the rules that say so. */
export function obligationWords(obligations: Worded): string {
  const { limits = [], guards = [], ceilings = {}, system_message: message } = obligations;
  const stated = Object.entries(ceilings).filter(([, value]) => value !== undefined);
  const headers = Object.entries(obligations.upstream_headers ?? {}).map(([name, source]) =>
    typeof source === 'string' ? `${name}: ${source}` : `${name}: the ${source.from}`,
  );
  const parts = [
    ...(limits.length === 0 ? [] : [`limits ${limits.join(', ')}`]),
    ...(guards.length === 0 ? [] : [`guards ${guards.join(', ')}`]),
    ...(stated.length === 0
      ? []
      : [`ceilings ${stated.map(([name, value]) => `${name} ${value}`).join(', ')}`]),
    ...(message === undefined ? [] : [`system message ${shownValue(shortened(message))}`]),
    ...(headers.length === 0 ? [] : [`upstream headers ${headers.join(', ')}`]),
  ];
  return printable(parts.join('; '));
}

const shortened = (text: string): string =>
  text.length > longestMessage ? `${text.slice(0, longestMessage)}…` : text;
