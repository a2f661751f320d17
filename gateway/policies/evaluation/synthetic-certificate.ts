// The client certificate that a test speaks of: what it writes down, valid at the time of the test and otherwise as good
// certificates are. Chain and revocation are not judged offline.
import { isIP } from 'node:net';
import { canonicalAddress, clientAuthUsage } from '../../authenticate/certificate/certificate-fields.ts';
import { attributeType } from '../../authenticate/certificate/distinguished-name.ts';
import type { ShownCertificate } from '../../authenticate/index.ts';
import type { WrittenCertificate } from './test-schema.ts';

const dayMs = 86_400_000;
const hexForm = /^[0-9a-f]{64}$/;

/** The certificate, with fingerprints as rules compare them. */
export function syntheticCertificate(written: WrittenCertificate, nowMs: number): ShownCertificate {
  const plain = (fingerprint: string): string => fingerprint.replaceAll(':', '').toLowerCase();
  const fingerprint = plain(written.fingerprint ?? '');
  return {
    fields: {
      subject: Object.entries(written.subject ?? {}).flatMap(([type, value]) =>
        [value].flat().map((each) => [attributeType(type), each] as const),
      ),
      names: {
        dns: (written.dns ?? []).map((name) => name.toLowerCase()),
        uri: written.uri ?? [],
        email: written.email ?? [],
        ip: (written.ip ?? []).map((address) => (isIP(address) === 0 ? address : canonicalAddress(address))),
      },
      serialNumber: '01',
      thumbprint: Buffer.from(hexForm.test(fingerprint) ? fingerprint : '00', 'hex').toString('base64url'),
      isAuthority: false,
      keyUsage: new Set(['digitalSignature']),
      extendedKeyUsage: new Set([clientAuthUsage]),
      validFrom: nowMs - dayMs,
      validTo: nowMs + dayMs,
    },
    authorities: [new Set((written.issued_by ?? []).map(plain))],
  };
}
