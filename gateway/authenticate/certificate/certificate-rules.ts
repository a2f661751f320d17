// Whose a client certificate is: the first entry of `client_certificates` whose conditions all hold makes the principal. The
// gateway asks this on a connection, the policy tools for a certificate that a test writes down.
import { invalidToken } from '../invalid-token.ts';
import type { Principal } from '../../principal.ts';
import { canonicalAddress, clientAuthUsage, type CertificateFields } from './certificate-fields.ts';
import type { CertificatesPolicy, CertificatePolicy } from './certificates-policy.ts';
import type { ShownCertificate } from './connection-certificate.ts';
import { attributeType, nameText } from './distinguished-name.ts';
import { parseSpiffeId, pathMatcher } from './spiffe-id.ts';

/** One entry, compiled. */
export interface CertificateRule {
  readonly name: string;
  /** What `iss` is for access tokens. */
  readonly issuer: string;
  /** The subject that the certificate stands for by this entry, or null when it does not match. */
  readonly subjectOf: (shown: ShownCertificate) => string | null;
  readonly roles: ReadonlySet<string>;
  readonly groups: ReadonlySet<string>;
  readonly clientId: string | null;
}

/** One condition: the subject that it finds, `matched` without one of its own, or null. */
type Condition = (fields: CertificateFields) => string | null;

/** Compiles the section, in the order of the file; null when it has no entry. */
export function compileCertificates(policy: CertificatesPolicy): readonly CertificateRule[] | null {
  const rules = Object.entries(policy).map(([name, entry]): CertificateRule => {
    const conditions = conditionsOf(entry);
    const pinned = entry.issued_by;
    return {
      name,
      issuer: `urn:sallyport:client-certificate:${name}`,
      subjectOf({ fields, authorities }) {
        if (pinned !== undefined && !authorities.some((path) => pinned.some((each) => path.has(each))))
          return null;
        let subject: string | null = null;
        for (const condition of conditions) {
          const found = condition(fields);
          if (found === null) return null;
          subject ??= found;
        }
        return subject;
      },
      roles: new Set(entry.roles),
      groups: new Set(entry.groups),
      clientId: entry.client_id ?? null,
    };
  });
  return rules.length === 0 ? null : rules;
}

/** In the order in which they name the subject. */
function conditionsOf({ spiffe, san, subject, fingerprints }: CertificatePolicy): Condition[] {
  const conditions: Condition[] = [];
  if (spiffe !== undefined) conditions.push(spiffeCondition(spiffe));
  if (san?.uri !== undefined) conditions.push(sanCondition('uri', san.uri.map(equals)));
  if (san?.dns !== undefined) conditions.push(sanCondition('dns', san.dns.map(dnsMatcher)));
  if (san?.email !== undefined) conditions.push(sanCondition('email', san.email.map(equals)));
  if (san?.ip !== undefined)
    conditions.push(
      sanCondition(
        'ip',
        san.ip.map((address) => equals(canonicalAddress(address))),
      ),
    );
  if (subject !== undefined)
    conditions.push((fields) =>
      Object.entries(subject).every(([type, values]) => hasExactly(fields, attributeType(type), values))
        ? nameText(fields.subject)
        : null,
    );
  if (fingerprints !== undefined)
    conditions.push((fields) =>
      fingerprints.includes(Buffer.from(fields.thumbprint, 'base64url').toString('hex'))
        ? `x5t#S256:${fields.thumbprint}`
        : null,
    );
  return conditions;
}

const equals = (wanted: string) => (name: string) => name === wanted;

// RFC 6125 §6.4.3: the asterisk of a rule stands for one whole label. One in a certificate stands for nobody.
function dnsMatcher(pattern: string): (name: string) => boolean {
  if (!pattern.startsWith('*.')) return equals(pattern);
  const suffix = pattern.slice(1);
  return (name) => name.endsWith(suffix) && /^[a-z0-9_-]+$/.test(name.slice(0, -suffix.length));
}

function sanCondition(
  kind: keyof CertificateFields['names'],
  matchers: readonly ((name: string) => boolean)[],
): Condition {
  return ({ names }) => {
    const found = names[kind].find((name) => matchers.some((matches) => matches(name)));
    if (found === undefined) return null;
    return kind === 'uri' ? found : `${kind}:${found}`;
  };
}

function spiffeCondition(spiffe: NonNullable<CertificatePolicy['spiffe']>): Condition {
  const paths = spiffe.paths.map(pathMatcher);
  return ({ names, keyUsage }) => {
    // X509-SVID §5.2: more than one URI name is rejected.
    const [uri = '', ...others] = names.uri;
    const id = others.length > 0 ? null : parseSpiffeId(uri);
    // X509-SVID §5.2: the id of a leaf has a path.
    if (id === null || id.path === '' || id.trustDomain !== spiffe.trust_domain) return null;
    // X509-SVID §4.3: a leaf sets digitalSignature, and neither keyCertSign nor cRLSign.
    const isLeaf =
      keyUsage?.has('digitalSignature') === true && !keyUsage.has('keyCertSign') && !keyUsage.has('cRLSign');
    return isLeaf && paths.some((matches) => matches(id.path)) ? uri : null;
  };
}

function hasExactly({ subject }: CertificateFields, type: string, values: readonly string[]): boolean {
  const given = subject.filter(([each]) => each === type).map(([, value]) => value);
  return given.length === values.length && values.every((value) => given.includes(value));
}

/**
 * The principal of a certificate.
 * Checks: it is no authority's, is for client authentication, is valid at the given time, and an entry matches.
 * Does not check: chain, revocation, possession of its key (connection-certificate.ts); what the principal may do (authorize).
 * @throws GatewayError `invalid_token`
 */
export function certificatePrincipal(
  shown: ShownCertificate,
  rules: readonly CertificateRule[],
  nowMs: number,
): Principal {
  const { fields } = shown;
  if (!(nowMs >= fields.validFrom && nowMs < fields.validTo)) throw invalidToken('certificate_expired');
  // RFC 5280 §4.2.1.12: a key is for the purposes that its certificate lists.
  if (fields.isAuthority || fields.extendedKeyUsage?.has(clientAuthUsage) !== true)
    throw invalidToken('certificate_usage');
  for (const rule of rules) {
    const subject = rule.subjectOf(shown);
    if (subject !== null) return principalOf(rule, subject, fields);
  }
  throw invalidToken('certificate_unknown');
}

function principalOf(rule: CertificateRule, subject: string, fields: CertificateFields): Principal {
  const { issuer } = rule;
  return Object.freeze({
    issuerName: rule.name,
    issuer,
    subject,
    key: `${issuer} ${subject}`,
    clientId: rule.clientId,
    tenantId: null,
    roles: rule.roles,
    groups: rule.groups,
    scopes: new Set<string>(),
    acr: null,
    amr: [],
    authTime: null,
    credential: {
      kind: 'client_certificate' as const,
      id: fields.thumbprint,
      issuedAt: Math.floor(fields.validFrom / 1_000),
    },
    // It is itself what a bound access token would be bound to.
    binding: { jkt: null, certificateThumbprint: fields.thumbprint, requiresNonce: false },
    expiresAt: fields.validTo / 1_000,
    claims: Object.freeze({
      sub: subject,
      serial_number: fields.serialNumber,
      'x5t#S256': fields.thumbprint,
      subject_dn: nameText(fields.subject),
      dns: fields.names.dns,
      uri: fields.names.uri,
      email: fields.names.email,
      ip: fields.names.ip,
    }),
  });
}
