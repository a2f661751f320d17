// Takes up a renewed certificate without a restart, for every server that speaks TLS. A pair that cannot be used (half
// written, or certificate and key of different renewals) leaves the old one in use until the next change of either file.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Server as TlsServer, type SecureContextOptions } from 'node:tls';
import type { Logger } from './log.ts';

/** PEM files of one certificate and its key, and what else TLS is done with. */
export interface CertificateFiles {
  readonly cert: string;
  readonly key: string;
  /** Other files whose change counts. */
  readonly further?: readonly string[];
  /** Reads all of it; default: certificate and key, TLS 1.2 or newer. */
  readonly read?: () => SecureContextOptions;
}

/** How often the files are looked at. */
const defaultLookMs = 2_000;

/** Follows the files until the returned function is called; nothing for a server without TLS. */
export function followCertificate(
  server: object,
  files: CertificateFiles | undefined,
  log: Logger,
  lookMs = defaultLookMs,
): () => void {
  if (files === undefined || !(server instanceof TlsServer)) return () => undefined;
  // What was there when the server started; contents and not times, so that no change is missed.
  let seen = contentOf(files);
  const look = (): void => {
    const found = contentOf(files);
    if (found === seen) return;
    seen = found;
    try {
      server.setSecureContext(files.read?.() ?? pairOf(files));
      log.info('the renewed certificate is in use');
    } catch (error) {
      log.error(
        { code: (error as NodeJS.ErrnoException).code }, // Errors of the file system and of OpenSSL have one.
        'the renewed certificate cannot be used; the old one stays',
      );
    }
  };
  const timer = setInterval(look, lookMs).unref();
  return () => clearInterval(timer);
}

/** A digest of all the files, or of why one cannot be read. */
function contentOf(files: CertificateFiles): string {
  const digest = createHash('sha256');
  for (const file of [files.cert, files.key, ...(files.further ?? [])]) {
    try {
      digest.update(readFileSync(file)).update('\0');
    } catch (error) {
      digest.update(String((error as NodeJS.ErrnoException).code)); // Whatever the file system throws has a code.
    }
  }
  return digest.digest('base64');
}

function pairOf(files: CertificateFiles): SecureContextOptions {
  return { cert: readFileSync(files.cert), key: readFileSync(files.key), minVersion: 'TLSv1.2' };
}
