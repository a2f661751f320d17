// The claims that a policy requires of a token that is valid otherwise: missing ones are a lack of rights (403).
import { GatewayError } from '../../core/errors.ts';
import type { Claims } from './claim-values.ts';
import type { ClaimRule } from './issuer-rules.ts';

/**
 * Checks: every required claim has all (or any) of its listed values, compared by type and exact text.
 * Does not check: that the token is valid (it is, by now).
 * @throws GatewayError `insufficient_scope`, reason `required_claim_<name>`
 */
export function checkRequiredClaims(claims: Claims, rules: readonly ClaimRule[]): void {
  for (const rule of rules) {
    const present = valuesOf(
      Object.hasOwn(claims, rule.name) ? claims[rule.name] : undefined,
      rule.separator,
    );
    const isMet =
      rule.match === 'all'
        ? rule.values.every((value) => present.includes(value))
        : rule.values.some((value) => present.includes(value));
    if (!isMet) throw new GatewayError('insufficient_scope', { reason: `required_claim_${rule.name}` });
  }
}

function valuesOf(value: unknown, separator: string | null): readonly unknown[] {
  if (Array.isArray(value)) return value;
  return typeof value === 'string' && separator !== null ? value.split(separator) : [value];
}
