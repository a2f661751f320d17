// Takes up a renewed certificate without a restart, for every server that speaks TLS. A pair that cannot be used (half
// written, or certificate and key of different renewals) leaves the old one in use until the next change of either file.
import { readFileSync, unwatchFile, watchFile } from 'node:fs';
import { Server as TlsServer } from 'node:tls';
import type { Logger } from './log.ts';

/** PEM files of one certificate and its key. */
export interface CertificateFiles {
  readonly cert: string;
  readonly key: string;
}

/** How often the files are looked at; links are followed, so a directory that is swapped is noticed. */
const defaultLookMs = 2_000;

/** Follows both files until the returned function is called; nothing for a server without TLS. */
export function followCertificate(
  server: object,
  files: CertificateFiles | undefined,
  log: Logger,
  lookMs = defaultLookMs,
): () => void {
  if (files === undefined || !(server instanceof TlsServer)) return () => undefined;
  const renew = (): void => {
    try {
      const pair = { cert: readFileSync(files.cert), key: readFileSync(files.key) };
      server.setSecureContext({ ...pair, minVersion: 'TLSv1.2' });
      log.info('the renewed certificate is in use');
    } catch (error) {
      log.error(
        { code: (error as NodeJS.ErrnoException).code }, // Errors of the file system and of OpenSSL have one.
        'the renewed certificate cannot be used; the old one stays',
      );
    }
  };
  const watched = [files.cert, files.key];
  for (const file of watched) watchFile(file, { persistent: false, interval: lookMs }, renew);
  return () => {
    for (const file of watched) unwatchFile(file, renew);
  };
}
