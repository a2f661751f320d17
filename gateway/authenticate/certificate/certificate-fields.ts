// What a client certificate says of its holder: names, usage, validity. Read from its DER and not from Node's texts,
// whose separators a name may contain.
import { hash } from 'node:crypto';
import { SocketAddress } from 'node:net';
import { childrenOf, DerFault, derTag, expected, oidOf, readDer, timeOf, type DerValue } from './der.ts';
import { readName, type NameAttribute } from './distinguished-name.ts';

/** Subject alternative names by kind, in the order of the certificate. */
export interface AlternativeNames {
  /** Lower case. */
  readonly dns: readonly string[];
  readonly uri: readonly string[];
  readonly email: readonly string[];
  /** In their one canonical spelling. */
  readonly ip: readonly string[];
}

/** The fields that rules look at. */
export interface CertificateFields {
  readonly subject: readonly NameAttribute[];
  readonly names: AlternativeNames;
  /** Lower-case hex. */
  readonly serialNumber: string;
  /** `x5t#S256`: SHA-256 of the DER, base64url. */
  readonly thumbprint: string;
  readonly isAuthority: boolean;
  /** Names of RFC 5280 §4.2.1.3; null without the extension. */
  readonly keyUsage: ReadonlySet<string> | null;
  /** Object identifiers; null without the extension. */
  readonly extendedKeyUsage: ReadonlySet<string> | null;
  /** Epoch milliseconds. */
  readonly validFrom: number;
  readonly validTo: number;
}

/** Extended key usage clientAuth. */
export const clientAuthUsage = '1.3.6.1.5.5.7.3.2';

const keyUsages = [
  'digitalSignature',
  'nonRepudiation',
  'keyEncipherment',
  'dataEncipherment',
  'keyAgreement',
  'keyCertSign',
  'cRLSign',
];

/**
 * Reads a certificate.
 * Checks: form, each extension once, names without control characters, blanks and bytes beyond ASCII (RFC 5280 §4.2.1.6).
 * Does not check: signature and chain (client-trust.ts), what the fields permit (certificate-rules.ts).
 * @throws DerFault
 */
export function readCertificate(der: Buffer): CertificateFields {
  const [body] = childrenOf(readDer(der, derTag.sequence));
  const fields = childrenOf(expected(body, derTag.sequence));
  // The version stands in a tag of its own, and certificates of version 1 leave it out.
  if (fields[0]?.tag === 0xa0) fields.shift();
  const [serialNumber, , , validity, subject, , ...further] = fields;
  const [validFrom, validTo] = childrenOf(expected(validity, derTag.sequence));
  const extensions = readExtensions(further.find(({ tag }) => tag === 0xa3));
  return {
    subject: readName(subject),
    names: alternativeNames(extensions.get('2.5.29.17')),
    serialNumber: expected(serialNumber, derTag.integer).contents.toString('hex'),
    thumbprint: hash('sha256', der, 'base64url'),
    isAuthority: isAuthority(extensions.get('2.5.29.19')),
    keyUsage: keyUsageOf(extensions.get('2.5.29.15')),
    extendedKeyUsage: extendedKeyUsageOf(extensions.get('2.5.29.37')),
    validFrom: timeOf(validFrom),
    validTo: timeOf(validTo),
  };
}

/** The extensions by object identifier; each is the DER inside its octet string. */
export function readExtensions(tagged: DerValue | undefined): ReadonlyMap<string, Buffer> {
  const extensions = new Map<string, Buffer>();
  if (tagged === undefined) return extensions;
  const [list] = childrenOf(tagged);
  for (const extension of childrenOf(expected(list, derTag.sequence))) {
    const parts = childrenOf(expected(extension, derTag.sequence));
    const oid = oidOf(parts[0]);
    // RFC 5280 §4.2: a certificate does not include an extension twice.
    if (extensions.has(oid)) throw new DerFault('an extension twice');
    extensions.set(oid, expected(parts.at(-1), derTag.octetString).contents);
  }
  return extensions;
}

function alternativeNames(extension: Buffer | undefined): AlternativeNames {
  const names = { dns: [] as string[], uri: [] as string[], email: [] as string[], ip: [] as string[] };
  if (extension === undefined) return names;
  for (const { tag, contents } of childrenOf(readDer(extension, derTag.sequence))) {
    if (tag === 0x81) names.email.push(ascii(contents));
    else if (tag === 0x82) names.dns.push(ascii(contents).toLowerCase());
    else if (tag === 0x86) names.uri.push(ascii(contents));
    else if (tag === 0x87) names.ip.push(addressOf(contents));
    // Other kinds of names are of no use here: no rule can ask for one.
  }
  return names;
}

// A NUL in a name made other programs compare half of it.
function ascii(bytes: Buffer): string {
  if (bytes.length === 0 || bytes.some((byte) => byte < 0x21 || byte > 0x7e))
    throw new DerFault('a name with characters that no name has');
  return bytes.toString('latin1');
}

function addressOf(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join('.');
  if (bytes.length !== 16) throw new DerFault('no IP address');
  return canonicalAddress(bytes.toString('hex').replaceAll(/.{4}(?!$)/g, '$&:'));
}

/** The one spelling of an IP address. */
export function canonicalAddress(address: string): string {
  return address.includes(':') ? new SocketAddress({ address, family: 'ipv6' }).address : address;
}

function isAuthority(extension: Buffer | undefined): boolean {
  if (extension === undefined) return false;
  const [first] = childrenOf(readDer(extension, derTag.sequence));
  return first?.tag === derTag.boolean && first.contents[0] !== 0;
}

function keyUsageOf(extension: Buffer | undefined): ReadonlySet<string> | null {
  if (extension === undefined) return null;
  const [, bits = 0] = readDer(extension, derTag.bitString).contents;
  return new Set(keyUsages.filter((_, index) => (bits & (0x80 >> index)) !== 0));
}

function extendedKeyUsageOf(extension: Buffer | undefined): ReadonlySet<string> | null {
  return extension === undefined ? null : new Set(childrenOf(readDer(extension, derTag.sequence)).map(oidOf));
}
