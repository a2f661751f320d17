// The local certificate authority of `--tls`: made on first start, its key never leaves data/tls/ (0600). It signs one
// server certificate for this machine's own names, so that clients which speak only https (MSAL) work at once.
import { webcrypto, X509Certificate as NodeCertificate } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import './reflect-metadata.ts';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';
import type { LocalTlsFiles } from '../compose.ts';
import { StartFailure } from './start-failure.ts';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const dayMs = 86_400_000;
const authorityDays = 3650;
// Apple's and Chromium's verifiers refuse server certificates that live longer than 398 days.
const serverDays = 397;
/** Renewed this long before it ends. */
const renewBeforeDays = 30;

/** Makes what is missing or about to expire. Returns what was made. @throws StartFailure when a key lies open. */
export async function prepareLocalTls(
  files: LocalTlsFiles,
  now = Date.now(),
): Promise<'authority' | 'certificate' | 'nothing'> {
  mkdirSync(files.folder, { recursive: true, mode: 0o700 });
  const authorityKeyFile = join(files.folder, 'ca-key.pem');
  refuseOpenKey(authorityKeyFile);
  refuseOpenKey(files.key);
  const authorityUsable =
    existsSync(authorityKeyFile) && expiresAfter(files.authority, now + serverDays * dayMs);
  if (!authorityUsable) await makeAuthority(files.authority, authorityKeyFile, now);
  if (authorityUsable && serverUsable(files, now)) return 'nothing';
  await makeServerCertificate(files, authorityKeyFile, now);
  return authorityUsable ? 'certificate' : 'authority';
}

/** Names and addresses that the server certificate is for. */
export function ownNames(): { type: 'dns' | 'ip'; value: string }[] {
  const names = new Set(['localhost', hostname().toLowerCase()].filter((name) => /^[a-z0-9.-]+$/.test(name)));
  return [
    ...[...names].map((value) => ({ type: 'dns' as const, value })),
    { type: 'ip', value: '127.0.0.1' },
    { type: 'ip', value: '::1' },
  ];
}

async function makeAuthority(certificateFile: string, keyFile: string, now: number): Promise<void> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: `CN=Sallyport local authority ${hostname().replaceAll(/[^A-Za-z0-9.-]/g, '')}`,
    notBefore: new Date(now - dayMs),
    notAfter: new Date(now + authorityDays * dayMs),
    keys,
    signingAlgorithm: algorithm,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  writeWhole(keyFile, await privateKeyPem(keys.privateKey), 0o600);
  writeWhole(certificateFile, `${certificate.toString('pem')}\n`, 0o644);
}

async function makeServerCertificate(
  files: LocalTlsFiles,
  authorityKeyFile: string,
  now: number,
): Promise<void> {
  const authority = new X509Certificate(readFileSync(files.authority, 'utf8'));
  const authorityKey = await webcrypto.subtle.importKey(
    'pkcs8',
    PemConverter.decodeFirst(readFileSync(authorityKeyFile, 'utf8')),
    algorithm,
    false,
    ['sign'],
  );
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: 'CN=localhost',
    issuer: authority.subject,
    notBefore: new Date(now - dayMs),
    notAfter: new Date(now + (serverDays - 1) * dayMs),
    publicKey: keys.publicKey,
    signingKey: authorityKey,
    signingAlgorithm: algorithm,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
      new SubjectAlternativeNameExtension(ownNames()),
      // RFC 5280 §4.2.1.1: certificates of an authority carry the authority's key identifier (Python 3.13 insists).
      await AuthorityKeyIdentifierExtension.create(authority),
    ],
  });
  writeWhole(files.key, await privateKeyPem(keys.privateKey), 0o600);
  writeWhole(files.certificate, `${certificate.toString('pem')}\n`, 0o644);
}

function serverUsable(files: LocalTlsFiles, now: number): boolean {
  if (!existsSync(files.key) || !expiresAfter(files.certificate, now + renewBeforeDays * dayMs)) return false;
  const certificate = new NodeCertificate(readFileSync(files.certificate));
  const authority = new NodeCertificate(readFileSync(files.authority));
  return (
    certificate.verify(authority.publicKey) &&
    ownNames().every(
      ({ type, value }) =>
        (type === 'dns' ? certificate.checkHost(value) : certificate.checkIP(value)) !== undefined,
    )
  );
}

function expiresAfter(file: string, momentMs: number): boolean {
  try {
    return new NodeCertificate(readFileSync(file)).validToDate.getTime() > momentMs;
  } catch {
    return false; // Missing or damaged: made anew.
  }
}

function refuseOpenKey(file: string): void {
  if (!existsSync(file)) return;
  const mode = statSync(file).mode & 0o777;
  if (process.platform === 'win32' || (mode & 0o077) === 0) return;
  throw new StartFailure([
    `✗ The key ${file} can be read by others (mode 0${mode.toString(8)}).`,
    `  If nobody had it:  chmod 600 ${file}   Otherwise delete the folder; a new one is made.`,
    '  Setting: --tls',
  ]);
}

async function privateKeyPem(key: webcrypto.CryptoKey): Promise<string> {
  return `${PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY')}\n`;
}

// RFC 5280 §4.1.2.2: a serial number is positive and has at most 20 octets.
function serialNumber(): string {
  const octets = webcrypto.getRandomValues(new Uint8Array(16));
  return `01${Buffer.from(octets).toString('hex')}`;
}

// A crash leaves the old file or the new one, never half of one.
function writeWhole(file: string, text: string, mode: number): void {
  writeFileSync(`${file}.new`, text, { mode });
  renameSync(`${file}.new`, file);
}
