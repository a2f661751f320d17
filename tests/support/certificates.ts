// Certificates for tests: authorities, servers, clients and revocation lists, made here, never pasted.
import '../../cli/supervisor/reflect-metadata.ts';
import { KeyObject, createHash, randomBytes, webcrypto } from 'node:crypto';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  Extension,
  type JsonGeneralName,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  type X509Certificate,
  X509CertificateGenerator,
  X509CrlGenerator,
} from '@peculiar/x509';

export { ExtendedKeyUsage, Extension, KeyUsageFlags };

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const hourMs = 3_600_000;

export interface TestCertificate {
  readonly certificate: X509Certificate;
  readonly keys: webcrypto.CryptoKeyPair;
  /** PEM. */
  readonly cert: string;
  readonly key: string;
  /** `x5t#S256`, computed apart from the code under test. */
  readonly thumbprint: string;
}

export interface ClientCertificateParts {
  /** Who signs; absent: the certificate signs itself. */
  readonly authority?: TestCertificate;
  readonly subject?: string;
  /** Hours from now. */
  readonly validFrom?: number;
  readonly validTo?: number;
  readonly usage?: ExtendedKeyUsage;
  /** Subject alternative names; default: the address 127.0.0.1. */
  readonly names?: readonly JsonGeneralName[];
  /** Default: digitalSignature; null: without the extension. */
  readonly keyUsage?: KeyUsageFlags | null;
  /** Instead of `usage`; null: without the extension. */
  readonly usages?: readonly ExtendedKeyUsage[] | null;
  readonly isAuthority?: boolean;
  /** Further extensions, good or bad. */
  readonly extensions?: readonly Extension[];
}

/** A certificate authority: one that signs itself, or one below `parent`. */
export async function createAuthority(
  subject = 'CN=Test authority',
  { parent, pathLength = 0 }: { readonly parent?: TestCertificate; readonly pathLength?: number } = {},
): Promise<TestCertificate> {
  const keys = await newKeys();
  const certificate = await X509CertificateGenerator.create(
    {
      serialNumber: serialNumber(),
      subject,
      issuer: parent?.certificate.subject ?? subject,
      publicKey: keys.publicKey,
      signingKey: (parent?.keys ?? keys).privateKey,
      signingAlgorithm: algorithm,
      notBefore: new Date(Date.now() - hourMs),
      notAfter: new Date(Date.now() + 24 * hourMs),
      extensions: [
        new BasicConstraintsExtension(true, pathLength, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
        await SubjectKeyIdentifierExtension.create(keys.publicKey, false, webcrypto),
      ],
    },
    webcrypto,
  );
  return named(certificate, keys);
}

/** A certificate for a client, or with `usage` serverAuth for a server on 127.0.0.1. */
export async function createCertificate(parts: ClientCertificateParts = {}): Promise<TestCertificate> {
  const { authority, subject = 'CN=client', validFrom = -1, validTo = 1 } = parts;
  const { keyUsage = KeyUsageFlags.digitalSignature, usages = [parts.usage ?? ExtendedKeyUsage.clientAuth] } =
    parts;
  const { names = [{ type: 'ip', value: '127.0.0.1' }] } = parts;
  const keys = await newKeys();
  const certificate = await X509CertificateGenerator.create(
    {
      serialNumber: serialNumber(),
      subject,
      issuer: authority?.certificate.subject ?? subject,
      notBefore: new Date(Date.now() + validFrom * hourMs),
      notAfter: new Date(Date.now() + validTo * hourMs),
      publicKey: keys.publicKey,
      signingKey: (authority?.keys ?? keys).privateKey,
      signingAlgorithm: algorithm,
      extensions: [
        new BasicConstraintsExtension(parts.isAuthority ?? false, undefined, true),
        ...(keyUsage === null ? [] : [new KeyUsagesExtension(keyUsage, true)]),
        ...(usages === null ? [] : [new ExtendedKeyUsageExtension([...usages])]),
        ...(names.length === 0 ? [] : [new SubjectAlternativeNameExtension([...names])]),
        ...(parts.extensions ?? []),
        await AuthorityKeyIdentifierExtension.create((authority?.keys ?? keys).publicKey, false, webcrypto),
      ],
    },
    webcrypto,
  );
  return named(certificate, keys);
}

/** A revocation list of an authority, PEM. */
export async function createRevocationList(
  authority: TestCertificate,
  revoked: readonly TestCertificate[],
  /** Hours from now. */
  nextUpdate = 1,
): Promise<string> {
  const list = await X509CrlGenerator.create(
    {
      issuer: authority.certificate.subject,
      thisUpdate: new Date(Date.now() - 3 * hourMs),
      nextUpdate: new Date(Date.now() + nextUpdate * hourMs),
      entries: revoked.map(({ certificate }) => ({
        serialNumber: certificate.serialNumber,
        revocationDate: new Date(Date.now() - hourMs),
      })),
      signingAlgorithm: algorithm,
      signingKey: authority.keys.privateKey,
    },
    webcrypto,
  );
  // OpenSSL knows the list by this label alone.
  return list.toString('pem').replaceAll(/(BEGIN|END) (X509 )?CRL/g, '$1 X509 CRL');
}

function named(certificate: X509Certificate, keys: webcrypto.CryptoKeyPair): TestCertificate {
  return {
    certificate,
    keys,
    cert: certificate.toString('pem'),
    key: KeyObject.from(keys.privateKey).export({ type: 'pkcs8', format: 'pem' }).toString(),
    thumbprint: createHash('sha256').update(Buffer.from(certificate.rawData)).digest('base64url'),
  };
}

function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
}

/** Positive, 16 bytes. */
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString('hex');
}
