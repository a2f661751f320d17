// Which certificates are credentials, and of whom: the section `client_certificates` of issuers.yaml over real
// certificates, and the reader beneath it against another one (@peculiar/x509, Node).
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { before, describe, it } from 'node:test';
import { GatewayError } from '../../../core/errors.ts';
import { readCertificate } from '../../../gateway/authenticate/certificate/certificate-fields.ts';
import {
  certificatePrincipal,
  compileCertificates,
} from '../../../gateway/authenticate/certificate/certificate-rules.ts';
import { certificatesSchema } from '../../../gateway/authenticate/certificate/certificates-policy.ts';
import { DerFault, oidOf, readDer, timeOf } from '../../../gateway/authenticate/certificate/der.ts';
import { parseSpiffeId } from '../../../gateway/authenticate/certificate/spiffe-id.ts';
import type { Principal } from '../../../gateway/principal.ts';
import {
  createAuthority,
  createCertificate,
  Extension,
  ExtendedKeyUsage,
  KeyUsageFlags,
  type ClientCertificateParts,
  type TestCertificate,
} from '../../support/certificates.ts';

const spiffeId = 'spiffe://prod.example/ns/llm/sa/batch';
const workload: ClientCertificateParts = {
  subject: 'O=SPIRE, C=US',
  names: [
    { type: 'url', value: spiffeId },
    { type: 'dns', value: 'batch.llm.svc' },
  ],
  usages: [ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth],
};

const der = ({ certificate }: TestCertificate): Buffer => Buffer.from(certificate.rawData);
const hex = ({ thumbprint }: TestCertificate): string => Buffer.from(thumbprint, 'base64url').toString('hex');

interface Judged {
  readonly certificate: TestCertificate;
  readonly policy: Record<string, unknown>;
  readonly authorities?: readonly TestCertificate[];
  readonly nowMs?: number;
}

function judge({ certificate, policy, authorities = [], nowMs = Date.now() }: Judged): Principal {
  const rules = compileCertificates(certificatesSchema.parse(policy)) ?? [];
  const shown = { fields: readCertificate(der(certificate)), authorities: [new Set(authorities.map(hex))] };
  return certificatePrincipal(shown, rules, nowMs);
}

/** The subject that an entry finds, or why there is none. */
function outcome(judged: Judged): string {
  try {
    return judge(judged).subject;
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    assert.equal(error.code, 'invalid_token');
    return error.reason ?? '';
  }
}

describe('a client certificate and the rule for SPIFFE ids', () => {
  const spiffe = { trust_domain: 'prod.example', paths: ['/ns/llm/sa/batch'] };

  it('makes a principal of its id, with the roles, groups and client of the entry', async () => {
    const certificate = await createCertificate(workload);
    const policy = { workloads: { spiffe, roles: ['LLM.User'], groups: ['batch'], client_id: 'batch' } };
    const principal = judge({ certificate, policy });
    assert.equal(principal.subject, spiffeId);
    assert.equal(principal.issuerName, 'workloads');
    assert.equal(principal.key, `urn:sallyport:client-certificate:workloads ${spiffeId}`);
    assert.deepEqual(
      [...principal.roles, ...principal.groups, principal.clientId],
      ['LLM.User', 'batch', 'batch'],
    );
    assert.deepEqual(
      [principal.credential.kind, principal.credential.id],
      ['client_certificate', certificate.thumbprint],
    );
    assert.equal(principal.expiresAt * 1000, certificate.certificate.notAfter.getTime());
    assert.equal(principal.claims['serial_number'], certificate.certificate.serialNumber);
  });

  const paths: [pattern: string, isMatch: boolean][] = [
    ['/ns/llm/sa/batch', true],
    ['/ns/llm/sa/*', true],
    ['/ns/*/sa/batch', true],
    ['/ns/llm/**', true],
    ['/**', true],
    ['/ns/llm/sa', false],
    ['/ns/llm/sa/batch/more', false],
    ['/ns/llm/sa/batch/**', false],
    ['/ns/llm/sa/batc', false],
    ['/ns/*', false],
    ['/NS/llm/sa/batch', false],
  ];
  for (const [pattern, isMatch] of paths) {
    it(`${isMatch ? 'matches' : 'does not match'} the path ${pattern}`, async () => {
      const policy = { workloads: { spiffe: { ...spiffe, paths: [pattern] } } };
      const certificate = await createCertificate(workload);
      assert.equal(outcome({ certificate, policy }), isMatch ? spiffeId : 'certificate_unknown');
    });
  }

  const url = (...values: string[]): ClientCertificateParts => ({
    ...workload,
    names: values.map((value) => ({ type: 'url', value })),
  });
  const bad: [title: string, parts: ClientCertificateParts, reason?: string][] = [
    ['another trust domain', url('spiffe://test.example/ns/llm/sa/batch')],
    ['a trust domain that only begins alike', url('spiffe://prod.example.evil/ns/llm/sa/batch')],
    ['the trust domain in capitals', url('spiffe://PROD.example/ns/llm/sa/batch')],
    ['a user before the trust domain', url('spiffe://prod.example@evil/ns/llm/sa/batch')],
    ['a port', url('spiffe://prod.example:443/ns/llm/sa/batch')],
    ['a query', url(`${spiffeId}?x`)],
    ['a fragment', url(`${spiffeId}#x`)],
    ['percent-encoding', url('spiffe://prod.example/ns/llm/sa/%62atch')],
    ['a relative segment', url('spiffe://prod.example/ns/llm/x/../sa/batch')],
    ['an empty segment', url('spiffe://prod.example/ns//llm/sa/batch')],
    ['a slash at the end', url(`${spiffeId}/`)],
    ['no path', url('spiffe://prod.example')],
    ['another scheme', url('https://prod.example/ns/llm/sa/batch')],
    ['no URI name', { ...workload, names: [{ type: 'dns', value: 'prod.example' }] }],
    ['two URI names (X509-SVID §5.2)', url(spiffeId, 'https://elsewhere.example')],
    ['two SPIFFE ids', url('spiffe://prod.example/ns/other/sa/x', spiffeId)],
    ['no key usage', { ...workload, keyUsage: null }],
    ['a key usage without digitalSignature', { ...workload, keyUsage: KeyUsageFlags.keyAgreement }],
    [
      'the key usage keyCertSign (X509-SVID §4.3)',
      { ...workload, keyUsage: KeyUsageFlags.digitalSignature | KeyUsageFlags.keyCertSign },
    ],
    [
      'the key usage cRLSign',
      { ...workload, keyUsage: KeyUsageFlags.digitalSignature | KeyUsageFlags.cRLSign },
    ],
    ['the basic constraint CA (X509-SVID §4.1)', { ...workload, isAuthority: true }, 'certificate_usage'],
    [
      'the usage of servers alone',
      { ...workload, usages: [ExtendedKeyUsage.serverAuth] },
      'certificate_usage',
    ],
    ['no extended key usage', { ...workload, usages: null }, 'certificate_usage'],
  ];
  for (const [title, parts, reason = 'certificate_unknown'] of bad) {
    it(`is refused with ${title}`, async () => {
      const certificate = await createCertificate(parts);
      const policy = { workloads: { spiffe: { trust_domain: 'prod.example', paths: ['/**'] } } };
      assert.equal(outcome({ certificate, policy }), reason);
    });
  }

  it('reads ids as the standard spells them, and nothing else', () => {
    assert.deepEqual(parseSpiffeId('spiffe://a_b-c.d/X.y-_0'), { trustDomain: 'a_b-c.d', path: '/X.y-_0' });
    const others = [
      '',
      'spiffe:',
      'spiffe://',
      'spiffe:///x',
      'SPIFFE://a/b',
      'spiffe://a/ ',
      'spiffe://a/b\n',
      'spiffe://a/.',
    ];
    for (const text of [...others, `spiffe://${'a'.repeat(256)}/b`, `spiffe://a/${'b'.repeat(2048)}`])
      assert.equal(parseSpiffeId(text), null, text);
  });
});

describe('a client certificate and the other rules', () => {
  let authority: TestCertificate;
  let lab: TestCertificate;
  before(async () => {
    authority = await createAuthority();
    lab = await createCertificate({
      authority,
      subject: 'CN=Build 7, OU=Lab, OU=Berlin, O=Example, DC=lab, DC=example',
      names: [
        { type: 'dns', value: 'Build7.Lab.Example' },
        { type: 'email', value: 'build7@lab.example' },
        { type: 'ip', value: '192.0.2.7' },
        { type: 'ip', value: '2001:db8::7' },
        { type: 'url', value: 'urn:build:7' },
      ],
    });
  });

  // Most specific first (RFC 4514), and the certificate was written that way round.
  const labelled = 'DC=example,DC=lab,O=Example,OU=Berlin,OU=Lab,CN=Build 7';
  const matches: [title: string, entry: Record<string, unknown>, subject: string][] = [
    ['a DNS name in any case', { san: { dns: ['BUILD7.lab.example'] } }, 'dns:build7.lab.example'],
    ['a label by its asterisk', { san: { dns: ['*.lab.example'] } }, 'dns:build7.lab.example'],
    ['a mail address', { san: { email: ['build7@lab.example'] } }, 'email:build7@lab.example'],
    ['an IPv4 address', { san: { ip: ['192.0.2.7'] } }, 'ip:192.0.2.7'],
    ['an IPv6 address in another spelling', { san: { ip: ['2001:DB8:0:0::7'] } }, 'ip:2001:db8::7'],
    ['a URI', { san: { uri: ['urn:build:7'] } }, 'urn:build:7'],
    [
      'attributes of the subject, in any order',
      { subject: { O: 'Example', OU: ['Berlin', 'Lab'] } },
      labelled,
    ],
    ['an attribute by its object identifier', { subject: { '2.5.4.3': 'Build 7' } }, labelled],
    [
      'all conditions together',
      { san: { dns: ['*.lab.example'], ip: ['192.0.2.7'] }, subject: { CN: 'Build 7' } },
      'dns:build7.lab.example',
    ],
  ];
  for (const [title, entry, subject] of matches) {
    it(`judges ${title}`, () => assert.equal(outcome({ certificate: lab, policy: { lab: entry } }), subject));
  }

  const misses: [title: string, entry: Record<string, unknown>][] = [
    ['an asterisk for two labels', { san: { dns: ['*.example.net'] } }],
    ['an asterisk for a part of a label', { san: { dns: ['*.d7.lab.example'] } }],
    ['the domain itself', { san: { dns: ['lab.example'] } }],
    ['a mail address in another case', { san: { email: ['BUILD7@lab.example'] } }],
    ['a longer URI', { san: { uri: ['urn:build:77'] } }],
    ['one of several organisational units', { subject: { OU: 'Lab' } }],
    ['one unit more', { subject: { OU: ['Lab', 'Berlin', 'Paris'] } }],
    ['another case', { subject: { O: 'EXAMPLE' } }],
    ['an attribute that is not there', { subject: { O: 'Example', L: 'Berlin' } }],
    ['one condition of two', { subject: { O: 'Example' }, san: { dns: ['elsewhere.example'] } }],
    ['another fingerprint', { fingerprints: ['00'.repeat(32)] }],
    ['another authority', { subject: { O: 'Example' }, issued_by: ['00'.repeat(32)] }],
  ];
  for (const [title, entry] of misses) {
    it(`does not match ${title}`, () =>
      assert.equal(
        outcome({ certificate: lab, policy: { lab: entry }, authorities: [authority] }),
        'certificate_unknown',
      ));
  }

  it('pins the authority, and the certificate, by fingerprint with and without colons', () => {
    const colons = hex(authority)
      .toUpperCase()
      .replaceAll(/..(?!$)/g, '$&:');
    const pinned = { lab: { subject: { O: 'Example' }, issued_by: [colons] } };
    assert.match(outcome({ certificate: lab, policy: pinned, authorities: [authority] }), /O=Example/);
    assert.equal(outcome({ certificate: lab, policy: pinned }), 'certificate_unknown');
    const own = { lab: { fingerprints: [hex(lab)] } };
    assert.equal(outcome({ certificate: lab, policy: own }), `x5t#S256:${lab.thumbprint}`);
  });

  it('takes the first entry that matches', () => {
    const policy = {
      other: { subject: { O: 'Other' }, roles: ['a'] },
      first: { subject: { O: 'Example' }, roles: ['b'] },
      second: { san: { dns: ['*.lab.example'] }, roles: ['c'] },
    };
    assert.equal(judge({ certificate: lab, policy }).issuerName, 'first');
  });

  it('is refused after it expired, and before it begins', () => {
    const policy = { lab: { subject: { O: 'Example' } } };
    for (const nowMs of [
      lab.certificate.notAfter.getTime(),
      lab.certificate.notBefore.getTime() - 1,
      Number.NaN,
    ])
      assert.equal(outcome({ certificate: lab, policy, nowMs }), 'certificate_expired');
  });

  it('with an asterisk in its own name stands for nobody', async () => {
    const certificate = await createCertificate({ names: [{ type: 'dns', value: '*.lab.example' }] });
    assert.equal(
      outcome({ certificate, policy: { lab: { san: { dns: ['*.lab.example'] } } } }),
      'certificate_unknown',
    );
  });
});

describe('the section client_certificates', () => {
  const subject = { O: 'Example' };
  const refused: [title: string, policy: Record<string, unknown>][] = [
    ['an entry that names nobody', { lab: { roles: ['LLM.User'] } }],
    ['an entry that only names an authority', { lab: { issued_by: ['00'.repeat(32)] } }],
    ['an empty list of names', { lab: { san: { dns: [] } } }],
    ['an empty set of names', { lab: { san: {} } }],
    ['an empty subject', { lab: { subject: {} } }],
    ['an unknown attribute', { lab: { subject: { organisation: 'Example' } } }],
    ['an asterisk inside a name', { lab: { san: { dns: ['build*.lab.example'] } } }],
    ['an asterisk for all', { lab: { san: { dns: ['*'] } } }],
    ['an asterisk before a top-level domain', { lab: { san: { dns: ['*.example'] } } }],
    ['two asterisks', { lab: { san: { dns: ['*.*.example.org'] } } }],
    ['no IP address', { lab: { san: { ip: ['192.0.2.0/24'] } } }],
    ['a SPIFFE id as a plain URI', { lab: { san: { uri: [spiffeId] } } }],
    ['a trust domain with a slash', { lab: { spiffe: { trust_domain: 'a/b', paths: ['/**'] } } }],
    ['no path', { lab: { spiffe: { trust_domain: 'a', paths: [] } } }],
    ['a path without its slash', { lab: { spiffe: { trust_domain: 'a', paths: ['ns'] } } }],
    ['two asterisks in the middle of a path', { lab: { spiffe: { trust_domain: 'a', paths: ['/**/x'] } } }],
    ['a short fingerprint', { lab: { fingerprints: ['ab:cd'] } }],
    ['an unknown key', { lab: { subject, any: true } }],
    ['a name that is a number', { 7: { subject } }],
  ];
  for (const [title, policy] of refused) {
    it(`refuses ${title}`, () => assert.equal(certificatesSchema.safeParse(policy).success, false));
  }

  it('is empty by default, and then no certificate is a credential', () => {
    assert.equal(compileCertificates(certificatesSchema.parse(undefined)), null);
  });
});

describe('the reader of certificates', () => {
  it('says of many certificates what other readers say', async () => {
    for (const parts of [
      workload,
      {},
      { isAuthority: true, keyUsage: KeyUsageFlags.keyCertSign },
      { usages: null },
    ]) {
      const made = await createCertificate(parts);
      const fields = readCertificate(der(made));
      const node = new X509Certificate(made.cert);
      assert.equal(fields.thumbprint, made.thumbprint);
      assert.equal(fields.serialNumber, node.serialNumber.toLowerCase());
      assert.equal(fields.isAuthority, node.ca);
      assert.deepEqual([...(fields.extendedKeyUsage ?? [])], (node.keyUsage as string[] | undefined) ?? []);
      assert.deepEqual(
        [fields.validFrom, fields.validTo],
        [node.validFromDate.getTime(), node.validToDate.getTime()],
      );
      assert.equal(fields.subject.map(([type, value]) => `${type}=${value}`).join('\n'), node.subject);
    }
  });

  it('keeps a name whole whatever other programs would take for its end', async () => {
    const odd = await createCertificate({ subject: 'CN="a,O=Example", O=Évil' });
    assert.deepEqual(readCertificate(der(odd)).subject, [
      ['CN', 'a,O=Example'],
      ['O', 'Évil'],
    ]);
    const policy = { lab: { subject: { O: 'Évil' } } };
    assert.equal(outcome({ certificate: odd, policy }), 'O=Évil,CN=a\\,O\\=Example');
    assert.equal(
      outcome({ certificate: odd, policy: { lab: { subject: { O: 'Example' } } } }),
      'certificate_unknown',
    );
  });

  const san = (...names: [tag: number, bytes: Buffer][]): ClientCertificateParts => {
    const parts = names.map(([tag, bytes]) => Buffer.concat([Buffer.from([tag, bytes.length]), bytes]));
    const list = Buffer.concat(parts);
    const value = Buffer.concat([Buffer.from([0x30, list.length]), list]);
    return { names: [], extensions: [new Extension('2.5.29.17', false, value)] };
  };
  const hostile: [title: string, parts: ClientCertificateParts][] = [
    ['a NUL in a DNS name (CVE-2025-66220 and its kind)', san([0x82, Buffer.from('good.example\0.evil')])],
    ['a line break in a URI', san([0x86, Buffer.from('urn:a\nurn:b')])],
    ['a blank in a mail address', san([0x81, Buffer.from('a b@c')])],
    ['a DNS name beyond ASCII', san([0x82, Buffer.from('évil.example')])],
    ['an empty name', san([0x82, Buffer.alloc(0)])],
    ['an IP address of five bytes', san([0x87, Buffer.alloc(5)])],
    [
      'a list that ends too early',
      {
        names: [],
        extensions: [new Extension('2.5.29.17', false, Buffer.from([0x30, 0x09, 0x82, 0x01, 0x61]))],
      },
    ],
    ['the same extension twice', { extensions: [new Extension('2.5.29.17', false, Buffer.from([0x30, 0]))] }],
  ];
  for (const [title, parts] of hostile) {
    it(`refuses ${title}`, async () => {
      const made = await createCertificate(parts);
      assert.throws(() => readCertificate(der(made)), DerFault);
    });
  }

  it('refuses what is not DER in its one spelling', () => {
    const bad = ['', '30', '3080', '308100', '30820001ff', '3081', '1f8101', '0500ff', '308500000000'];
    for (const text of bad) assert.throws(() => readDer(Buffer.from(text, 'hex')), DerFault, text);
    for (const text of ['0600', '060180', '0609ffffffffffffffffff'])
      assert.throws(() => oidOf(readDer(Buffer.from(text, 'hex'))), DerFault, text);
    const time = (tag: number, text: string): number =>
      timeOf(readDer(Buffer.concat([Buffer.from([tag, text.length]), Buffer.from(text)])));
    assert.equal(time(0x17, '491231235959Z'), Date.UTC(2049, 11, 31, 23, 59, 59));
    assert.equal(time(0x17, '500101000000Z'), Date.UTC(1950, 0, 1));
    assert.equal(time(0x18, '20500101000000Z'), Date.UTC(2050, 0, 1));
    for (const [tag, text] of [
      [0x17, '4912312359Z'],
      [0x18, '20501301000000Z'],
      [0x18, '20500101000000+0100'],
      [0x0c, '20500101000000Z'],
    ] as const)
      assert.throws(() => time(tag, text), DerFault, text);
  });
});
