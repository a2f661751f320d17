// Separation of duties when a role is given, not only when its holder calls: which pair of roles.yaml somebody would
// combine, hierarchy and assignments included.
import { compileRoles } from '../../gateway/authorize/compiled-roles.ts';
import { loadConfiguration } from '../compose.ts';
import { holderOf } from './access.ts';
import { openPolicies, type PolicyOptions } from './opened-policies.ts';

/** Somebody of the embedded identity server, with the roles that he would have. */
export interface RoleHolder {
  /** Id of the account. */
  readonly subject: string;
  readonly roles: readonly string[];
}

/**
 * The pair of duties that a holder would combine, or null.
 * Checks: the roles of the account with what they include, and assignments to its subject, in the configured policies.
 * Does not check: assignments to groups and clients, which only an access token shows (the gateway does). Without a
 * gateway in the configuration there are no policies to ask.
 * @throws ConfigurationError when the policies have a fault: nobody can say then what a role permits
 */
export function conflictingDuties(
  { subject, roles }: RoleHolder,
  options: Pick<PolicyOptions, 'config'>,
): readonly [string, string] | null {
  const { gateway } = loadConfiguration({ configFile: options.config, env: process.env });
  if (gateway === undefined) return null;
  const { bundle, context } = openPolicies(undefined, options);
  const embedded = Object.entries(bundle.issuers.issuers).find(([, entry]) => entry.issuer === 'embedded');
  const issuer = context.embeddedIssuer ?? '';
  const holder = { ...holderOf(roles, embedded?.[0] ?? ''), issuer, subject, key: `${issuer} ${subject}` };
  return compileRoles(bundle.roles, [...context.models.keys()]).conflictingDuties(holder);
}
