// What the section `client_certificates` of issuers.yaml may not say towards the other files and the configuration.
import type { Finding } from '../../core/yaml-file.ts';
import type { PolicyFiles } from './bundle.ts';
import type { PolicyContext } from './context.ts';
import { unknownName } from './unknown-name.ts';

type Files = { readonly [Name in 'issuers' | 'roles']: PolicyFiles[Name] | undefined };

const behindProxy =
  'TLS ends at a proxy (gateway.tls_ends_at_proxy), so no client certificate reaches the gateway and none can count; no header can bring one';
const notAskedFor =
  'the gateway asks for no client certificates: set gateway.tls.client_ca in the configuration';

/** Entries that no certificate can reach, names that an issuer has too, roles that do not exist. */
export function certificateFaults({ issuers, roles }: Files, context: PolicyContext): Finding[] {
  if (issuers === undefined) return [];
  const { client_certificates: entries, issuers: trusted } = issuers.value;
  const names = Object.keys(entries);
  if (names.length > 0 && context.clientCertificates === 'proxy')
    return [issuers.finding(['client_certificates'], behindProxy, { code: 'no_client_certificates' })];
  return Object.entries(entries).flatMap(([name, entry]) => {
    const path = ['client_certificates', name];
    const findings: Finding[] = [];
    // Rules, assignments and records know both by one name.
    if (Object.hasOwn(trusted, name))
      findings.push(issuers.finding(path, `${name} is the name of an issuer already`));
    if (roles === undefined) return findings;
    const known = Object.keys(roles.value.roles);
    for (const [index, role] of entry.roles.entries())
      if (!known.includes(role))
        findings.push(unknownName(issuers, [...path, 'roles', index], { name: role, what: 'role', known }));
    return findings;
  });
}

/** Passwords whose accounts no entry knows. */
export function basicFaults({ issuers }: Pick<Files, 'issuers'>): Finding[] {
  if (issuers?.value.basic === undefined) return [];
  const isKnown = Object.values(issuers.value.issuers).some((entry) => entry.issuer === 'embedded');
  const message = 'the accounts are those of the entry with issuer: embedded, and there is none';
  return isKnown ? [] : [issuers.finding(['basic', 'accounts'], message)];
}

/** Odd but harmless: entries at a gateway that asks for no certificates. */
export function certificateWarnings({ issuers }: Pick<Files, 'issuers'>, context: PolicyContext): Finding[] {
  if (issuers === undefined || Object.keys(issuers.value.client_certificates).length === 0) return [];
  return context.clientCertificates === 'verified'
    ? []
    : [issuers.finding(['client_certificates'], notAskedFor, { code: 'no_effect' })];
}

/** Every name that a principal's issuer can have. */
export function issuerNames({
  issuers,
  client_certificates: entries,
}: PolicyFiles['issuers']['value']): string[] {
  return [...Object.keys(issuers), ...Object.keys(entries)];
}
