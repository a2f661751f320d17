// Revocation lists (RFC 5280 §5) as the gateway looks at them on open connections: whose they are, until when they hold,
// which serial numbers they name. Their signatures are checked by OpenSSL when a connection is made.
import { readFileSync } from 'node:fs';
import { childrenOf, derTag, expected, readDer, timeOf } from './der.ts';
import { comparableName, readName } from './distinguished-name.ts';

/** One list. */
export interface RevocationList {
  /** As `comparableName` writes it. */
  readonly issuer: string;
  /** Epoch milliseconds; from then on the list says nothing. */
  readonly nextUpdate: number;
  /** Lower-case hex. */
  readonly revoked: ReadonlySet<string>;
}

const block = /-----BEGIN X509 CRL-----[\sA-Za-z0-9+/=]+-----END X509 CRL-----/g;

/**
 * The PEM blocks of a file with one or several lists: Node takes the first block of a text and forgets the others.
 * @throws Error when there is none: a list that was asked for must not be missed in silence
 */
export function revocationBlocks(file: string): string[] {
  const text = readFileSync(file, 'latin1');
  const blocks = text.match(block) ?? [];
  if (blocks.length === 0 || blocks.length !== text.split('-----BEGIN ').length - 1)
    throw new Error(`${file} holds something else than revocation lists (PEM, X509 CRL)`);
  return blocks;
}

/** Reads one PEM block. @throws DerFault, also for a list that does not say until when it holds */
export function readRevocationList(pem: string): RevocationList {
  const der = Buffer.from(pem.replaceAll(/-----[^-]+-----/g, ''), 'base64');
  const [body] = childrenOf(readDer(der, derTag.sequence));
  const fields = childrenOf(expected(body, derTag.sequence));
  if (fields[0]?.tag === derTag.integer) fields.shift(); // The version.
  const [, issuer, , nextUpdate, revoked] = fields;
  return {
    issuer: comparableName(readName(issuer)),
    // RFC 5280 §5.1.2.5: a list says when the next one comes.
    nextUpdate: timeOf(nextUpdate),
    revoked: new Set(
      revoked?.tag === derTag.sequence
        ? childrenOf(revoked).map((entry) =>
            expected(childrenOf(expected(entry, derTag.sequence))[0], derTag.integer).contents.toString(
              'hex',
            ),
          )
        : [],
    ),
  };
}
