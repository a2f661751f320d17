// Who vouches for client certificates, and which of them are revoked: `tls.client_ca` and `tls.client_crl` as they are now.
// OpenSSL judges a chain when a connection is made; this judges it again on every request, since a connection can outlive
// its certificate, its authority and the list that it was looked up in.
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { InvalidTokenReason } from '../invalid-token.ts';
import { childrenOf, derTag, expected, readDer } from './der.ts';
import { comparableName, readName } from './distinguished-name.ts';
import { readRevocationList, revocationBlocks, type RevocationList } from './revocation-list.ts';

/** A chain of verified signatures, from the certificate to an authority of `client_ca`. */
export interface TrustedPath {
  /** SHA-256 fingerprints of its authorities, lower-case hex without colons. */
  readonly authorities: ReadonlySet<string>;
  /** Certificates whose revocation counts: all but the last, which signed itself. */
  readonly looked: readonly { readonly issuer: string; readonly serialNumber: string }[];
  /** Epoch milliseconds: the latest beginning and the earliest end of its certificates. */
  readonly validFrom: number;
  readonly validTo: number;
}

/** What is trusted at one moment. */
export interface Trust {
  readonly anchors: readonly X509Certificate[];
  /** By issuer; null: no list is configured, and nothing counts as revoked. */
  readonly lists: ReadonlyMap<string, readonly RevocationList[]> | null;
}

/** The trust that is followed while the files change. */
export interface ClientTrust {
  /** The same object until the files change. */
  readonly current: () => Trust;
  /** Reads the files again. @throws Error when one cannot be used; the old trust stays */
  readonly reload: () => void;
}

/** PEM files; `client_crl` may hold several lists, one for each authority. */
export interface ClientTrustFiles {
  readonly client_ca?: string | undefined;
  readonly client_crl?: string | undefined;
}

/** Longest chain, and most chains of one certificate, that are looked at. */
const mostCertificates = 8;
const mostPaths = 16;

/** Reads the files; null where no client certificates are asked for. @throws Error naming what cannot be used */
export function openClientTrust(tls: ClientTrustFiles | undefined): ClientTrust | null {
  if (tls?.client_ca === undefined) return null;
  const { client_ca: authorities, client_crl: revocations } = tls;
  const read = (): Trust => ({ anchors: readAnchors(authorities), lists: readLists(revocations) });
  let current = read();
  return {
    current: () => current,
    reload: () => {
      current = read();
    },
  };
}

const certificateBlock = /-----BEGIN CERTIFICATE-----[\sA-Za-z0-9+/=]+-----END CERTIFICATE-----/g;

function readAnchors(file: string): X509Certificate[] {
  const blocks = readFileSync(file, 'latin1').match(certificateBlock) ?? [];
  if (blocks.length === 0) throw new Error(`${file} holds no certificate (PEM)`);
  return blocks.map((block) => new X509Certificate(block));
}

function readLists(file: string | undefined): Trust['lists'] {
  if (file === undefined) return null;
  const lists = new Map<string, RevocationList[]>();
  for (const list of revocationBlocks(file).map(readRevocationList))
    lists.set(list.issuer, [...(lists.get(list.issuer) ?? []), list]);
  return lists;
}

/**
 * Every path from a certificate over the authorities of `client_ca`.
 * Checks: each certificate is signed by the key of the next, which is an authority; the last signed itself.
 * Does not check: what OpenSSL has checked at the handshake (path length, name constraints, purpose).
 */
export function trustedPaths(leaf: X509Certificate, { anchors }: Trust): TrustedPath[] {
  const paths: TrustedPath[] = [];
  const walk = (chain: readonly X509Certificate[]): void => {
    const last = chain.at(-1);
    if (last === undefined || chain.length > mostCertificates || paths.length >= mostPaths) return;
    for (const issuer of anchors) {
      if (!isSignedBy(last, issuer)) continue;
      if (isSignedBy(issuer, issuer)) paths.push(pathOf([...chain, issuer]));
      else if (!chain.includes(issuer)) walk([...chain, issuer]);
    }
  };
  walk([leaf]);
  return paths;
}

function isSignedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  try {
    return issuer.ca && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
  } catch {
    return false; // Its key is of another kind than the signature.
  }
}

function pathOf(chain: readonly X509Certificate[]): TrustedPath {
  const below = chain.slice(0, -1);
  return {
    authorities: new Set(chain.slice(1).map((each) => each.fingerprint256.replaceAll(':', '').toLowerCase())),
    looked: below.map(issuerAndSerial),
    validFrom: Math.max(...chain.map((each) => each.validFromDate.getTime())),
    validTo: Math.min(...chain.map((each) => each.validToDate.getTime())),
  };
}

/** What a revocation list knows a certificate by. */
function issuerAndSerial({ raw }: X509Certificate): TrustedPath['looked'][number] {
  const [body] = childrenOf(readDer(raw, derTag.sequence));
  const fields = childrenOf(expected(body, derTag.sequence));
  if (fields[0]?.tag === 0xa0) fields.shift(); // The version.
  const [serialNumber, , issuer] = fields;
  return {
    issuer: comparableName(readName(issuer)),
    serialNumber: expected(serialNumber, derTag.integer).contents.toString('hex'),
  };
}

/**
 * The path of a certificate below an authority that only OpenSSL has seen: the certificate's own revocation, and every list,
 * since the unseen authority may be on any of them.
 */
export function unseenPath(leaf: X509Certificate, { lists }: Trust): TrustedPath {
  const own = pathOf([leaf, leaf]);
  const issuers = [...(lists?.keys() ?? [])].map((issuer) => ({ issuer, serialNumber: '' }));
  return { ...own, authorities: new Set(), looked: [...own.looked, ...issuers] };
}

/** Why a path does not count now, or null. RFC 5280 §6.3.3: without a list that still holds, nothing is known. */
export function pathObjection(path: TrustedPath, { lists }: Trust, nowMs: number): InvalidTokenReason | null {
  if (!(nowMs >= path.validFrom && nowMs < path.validTo)) return 'certificate_expired';
  if (lists === null) return null;
  for (const { issuer, serialNumber } of path.looked) {
    const ofIssuer = lists.get(issuer) ?? [];
    if (ofIssuer.some(({ revoked }) => revoked.has(serialNumber))) return 'certificate_revoked';
    if (!ofIssuer.some(({ nextUpdate }) => nowMs < nextUpdate)) return 'certificate_list_expired';
  }
  return null;
}
