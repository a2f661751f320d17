// Client certificates as credentials, at the whole gateway over TLS: who gets in, who does not, and when a certificate
// stops working while its connection stays open. O1 to O7 are the statements of the security reference.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  createAuthority,
  createCertificate,
  createRevocationList,
  ExtendedKeyUsage,
  type TestCertificate,
} from '../../support/certificates.ts';
import { startTestGateway, type TestGateway, type TestGatewayOptions } from '../../support/start-gateway.ts';

const folder = mkdtempSync(join(tmpdir(), 'sallyport-certificates-'));
/** Replaces a file in one step, as renewal programs do. */
const file = (name: string, text: string): string => {
  writeFileSync(join(folder, `${name}.new`), text);
  renameSync(join(folder, `${name}.new`), join(folder, name));
  return join(folder, name);
};

let root: TestCertificate;
let authority: TestCertificate;
let neighbouring: TestCertificate;
let workload: TestCertificate;
let server: TestCertificate;
before(async () => {
  root = await createAuthority('CN=Root', { pathLength: 1 });
  authority = await createAuthority('CN=Workloads', { parent: root });
  neighbouring = await createAuthority('CN=Neighbours', { parent: root });
  workload = await createCertificate({ authority, ...spiffe('batch') });
  server = await createCertificate({ subject: 'CN=127.0.0.1', usage: ExtendedKeyUsage.serverAuth });
  file('cert.pem', server.cert);
  file('key.pem', server.key);
});
after(() => rmSync(folder, { recursive: true, force: true }));

const spiffe = (account: string) => ({
  subject: 'O=SPIRE',
  names: [{ type: 'url' as const, value: `spiffe://prod.example/ns/llm/sa/${account}` }],
});
const hex = ({ thumbprint }: TestCertificate): string => Buffer.from(thumbprint, 'base64url').toString('hex');

/** Every list of the two levels, with what is revoked. */
async function lists(revoked: readonly TestCertificate[] = [], hours = 1): Promise<string> {
  const texts = await Promise.all(
    [root, authority, neighbouring].map((each) => createRevocationList(each, revoked, hours)),
  );
  return texts.join('\n');
}

function start(
  options: {
    tls?: Record<string, string>;
    issuedBy?: TestCertificate | null;
    authorities?: string;
    edit?: TestGatewayOptions['edit'];
  } = {},
) {
  const entry = `client_certificates:
  workloads:
    spiffe: { trust_domain: prod.example, paths: [/ns/llm/**] }
${options.issuedBy === null ? '' : `    issued_by: [${hex(options.issuedBy ?? authority)}]\n`}    roles: [LLM.User]
    client_id: batch
`;
  const anchor = 'scp: { all: [LLM.Access] }\n';
  return startTestGateway({
    config: {
      tls: {
        cert: join(folder, 'cert.pem'),
        key: join(folder, 'key.pem'),
        client_ca: file(
          'ca.pem',
          options.authorities ?? [root, authority, neighbouring].map(({ cert }) => cert).join('\n'),
        ),
        ...options.tls,
      },
    },
    edit: { 'issuers.yaml': [[anchor, `${anchor}${entry}`]], ...options.edit },
  });
}

interface Answer {
  readonly status: number;
  readonly code: string | undefined;
  readonly challenge: string;
  readonly record: Record<string, unknown>;
  readonly reused: boolean;
}

interface Asked {
  readonly certificate?: TestCertificate;
  /** Authorities that the caller sends along. */
  readonly chain?: readonly TestCertificate[];
  readonly headers?: Readonly<Record<string, string>>;
  readonly agent?: Agent;
}

/** Lists the models. */
async function ask(at: TestGateway, asked: Asked = {}): Promise<Answer> {
  const { certificate, chain = [authority], headers = {}, agent } = asked;
  const cert = [certificate, ...chain].map((each) => each?.cert ?? '').join('\n');
  return new Promise((resolve, reject) => {
    const asking = request(`${at.url}/v1/models`, {
      agent: agent ?? false,
      rejectUnauthorized: false, // Whether the server is the right one is not the question here.
      headers,
      ...(certificate === undefined ? {} : { cert, key: certificate.key }),
    });
    asking.on('error', reject).on('response', (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (piece: string) => (text += piece));
      response.on('end', () => {
        const body = JSON.parse(text) as { error?: { code: string } };
        const answer = {
          status: response.statusCode ?? 0,
          code: body.error?.code,
          challenge: response.headers['www-authenticate'] ?? '',
          reused: asking.reusedSocket,
        };
        recordOf(at, String(response.headers['x-request-id'])).then(
          (record) => resolve({ ...answer, record }),
          reject,
        );
      });
    });
    asking.end();
  });
}

/** The audit record, which is written a moment after the answer. */
async function recordOf(at: TestGateway, id: string): Promise<Record<string, unknown>> {
  for (;;) {
    const line = readdirSync(at.auditFolder)
      .filter((name) => name.endsWith('.jsonl'))
      .flatMap((name) => readFileSync(join(at.auditFolder, name), 'utf8').split('\n').slice(0, -1))
      .find((each) => each.includes(id));
    if (line !== undefined) return JSON.parse(line) as Record<string, unknown>; // Our own record.
    await sleep(5);
  }
}

const told = ({ status, code, record }: Answer): unknown[] => [status, code, record['reason']];

describe('a client certificate without any other credential', () => {
  let gateway: TestGateway;
  before(async () => {
    const routes = [
      [
        '/v1/models, methods: [GET], kind: models',
        '/v1/models, require: sender_constrained, methods: [GET], kind: models',
      ],
    ] as const;
    gateway = await start({ edit: { 'routes.yaml': routes } });
  });
  after(() => gateway.close());

  it('O1 is a credential where an entry knows it, also on a route for sender-constrained tokens', async () => {
    const answer = await ask(gateway, { certificate: workload });
    assert.equal(answer.status, 200);
    assert.equal(answer.record['issuer'], 'workloads');
    assert.equal(answer.record['client_id'], 'batch');
    assert.equal(
      answer.record['principal'],
      'urn:sallyport:client-certificate:workloads spiffe://prod.example/ns/llm/sa/batch',
    );
  });

  it('is one on every request of its connection', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const answers = [];
    for (let count = 0; count < 3; count++)
      answers.push(await ask(gateway, { certificate: workload, agent }));
    assert.deepEqual(
      answers.map(({ status }) => status),
      [200, 200, 200],
    );
    assert.deepEqual(
      answers.map(({ reused }) => reused),
      [false, true, true],
    );
    agent.destroy();
  });

  const strangers: [title: string, parts: () => Promise<Asked>, reason: string][] = [
    [
      'that no entry knows',
      async () => ({ certificate: await createCertificate({ authority }) }),
      'certificate_unknown',
    ],
    [
      'of another namespace',
      async () => ({
        certificate: await createCertificate({
          authority,
          names: [{ type: 'url', value: 'spiffe://prod.example/ns/other/sa/batch' }],
        }),
      }),
      'certificate_unknown',
    ],
    [
      'of another authority than the pinned one, below the same root',
      async () => ({
        certificate: await createCertificate({ authority: neighbouring, ...spiffe('batch') }),
        chain: [neighbouring, authority],
      }),
      'certificate_unknown',
    ],
    [
      'O4 that signed itself',
      async () => ({ certificate: await createCertificate(spiffe('batch')) }),
      'certificate_untrusted',
    ],
    [
      'O4 of an authority that only has the name of the pinned one',
      async () => {
        const twin = await createAuthority('CN=Workloads');
        return {
          certificate: await createCertificate({ authority: twin, ...spiffe('batch') }),
          chain: [twin, authority],
        };
      },
      'certificate_untrusted',
    ],
    [
      'O4 that has expired',
      async () => ({
        certificate: await createCertificate({ authority, ...spiffe('batch'), validFrom: -2, validTo: -1 }),
      }),
      'certificate_untrusted',
    ],
    [
      'O4 for servers',
      async () => ({
        certificate: await createCertificate({
          authority,
          ...spiffe('batch'),
          usage: ExtendedKeyUsage.serverAuth,
        }),
      }),
      'certificate_untrusted',
    ],
    [
      'without an extended key usage',
      async () => ({ certificate: await createCertificate({ authority, ...spiffe('batch'), usages: null }) }),
      'certificate_usage',
    ],
    [
      'of a holder who made himself an authority',
      async () => {
        const own = { ...workload, certificate: workload.certificate };
        return {
          certificate: await createCertificate({ authority: own, ...spiffe('admin') }),
          chain: [workload, authority],
        };
      },
      'certificate_untrusted',
    ],
  ];
  for (const [title, parts, reason] of strangers) {
    it(`is refused ${title}`, async () => {
      const answer = await ask(gateway, await parts());
      assert.deepEqual(told(answer), [401, 'invalid_token', reason]);
      assert.match(answer.challenge, /error="invalid_token"/);
    });
  }

  it('stops working at once when an administrator revokes it or its subject', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const admin = await gateway.mint({ roles: ['LLM.Admin'] });
    const revoke = (body: Record<string, unknown>): Promise<number> =>
      new Promise((resolve, reject) => {
        const options = { method: 'POST', rejectUnauthorized: false, agent: false } as const;
        const headers = { authorization: `Bearer ${admin}`, 'content-type': 'application/json' };
        request(`${gateway.url}/admin/revocations`, { ...options, headers })
          .on('error', reject)
          .on('response', (response) => resolve(response.resume().statusCode ?? 0))
          .end(JSON.stringify(body));
      });
    const certificate = await createCertificate({ authority, ...spiffe('lost') });
    assert.equal((await ask(gateway, { certificate, agent })).status, 200);
    assert.equal(await revoke({ issuer: 'workloads', credential: certificate.thumbprint }), 201);
    assert.deepEqual(told(await ask(gateway, { certificate, agent })), [
      401,
      'credential_revoked',
      'revoked',
    ]);
    const other = await createCertificate({ authority, ...spiffe('left') });
    assert.equal((await ask(gateway, { certificate: other })).status, 200);
    assert.equal(await revoke({ issuer: 'workloads', subject: spiffe('left').names[0]?.value }), 201);
    assert.equal((await ask(gateway, { certificate: other })).code, 'credential_revoked');
    assert.equal(await revoke({ issuer: 'nobody', subject: 'x' }), 400);
    agent.destroy();
  });

  it('is missed without one, and the challenge is bare', async () => {
    const answer = await ask(gateway);
    assert.deepEqual(told(answer), [401, 'missing_credentials', 'no_credentials']);
    assert.doesNotMatch(answer.challenge, /error=/);
  });

  it('O3 is never taken from a header, whatever its name and form', async () => {
    const pem = encodeURIComponent(workload.cert);
    const encoded = Buffer.from(workload.certificate.rawData).toString('base64');
    for (const [name, value] of Object.entries({
      'x-forwarded-client-cert': `Hash=${hex(workload)};URI=spiffe://prod.example/ns/llm/sa/batch;Cert="${pem}"`,
      'x-client-cert': pem,
      'x-ssl-client-verify': 'SUCCESS',
      'x-arr-clientcert': encoded,
      'client-cert': `:${encoded}:`,
    }))
      assert.deepEqual(
        told(await ask(gateway, { headers: { [name]: value } }))[1],
        'missing_credentials',
        name,
      );
  });
});

describe('a client certificate beside another credential', () => {
  let gateway: TestGateway;
  before(async () => void (gateway = await start()));
  after(() => gateway.close());

  it('does not replace a bad access token', async () => {
    for (const authorization of [
      'Bearer not.a.token',
      `Bearer ${await gateway.mint({ aud: 'api://other' })}`,
    ]) {
      const answer = await ask(gateway, { certificate: workload, headers: { authorization } });
      assert.deepEqual(
        [answer.status, answer.code, answer.record['principal']],
        [401, 'invalid_token', null],
      );
    }
  });

  it('does not replace a scheme that is not accepted', async () => {
    for (const authorization of ['Basic YTpi', 'Negotiate x'])
      assert.equal(
        (await ask(gateway, { certificate: workload, headers: { authorization } })).code,
        'missing_credentials',
      );
  });

  it('leaves the principal to the access token, and is only its binding', async () => {
    const headers = {
      authorization: `Bearer ${await gateway.mint({ cnf: { 'x5t#S256': workload.thumbprint } })}`,
    };
    const answer = await ask(gateway, { certificate: workload, headers });
    assert.deepEqual([answer.status, answer.record['issuer']], [200, 'embedded']);
    assert.equal((await ask(gateway, { headers })).record['reason'], 'certificate_missing');
  });

  it('does not matter to a Bearer token that is bound to nothing', async () => {
    const headers = { authorization: `Bearer ${await gateway.mint()}` };
    const stranger = await createCertificate();
    for (const certificate of [stranger, workload])
      assert.equal((await ask(gateway, { certificate, headers })).status, 200);
  });
});

describe('a client certificate on a connection that stays open', () => {
  let gateway: TestGateway;
  let agent: Agent;
  beforeEach(() => (agent = new Agent({ keepAlive: true, maxSockets: 1 })));

  /** Asks over the one connection until the answer is another one. */
  async function untilRefused(): Promise<unknown[]> {
    for (;;) {
      const answer = await ask(gateway, { certificate: workload, agent });
      assert.equal(answer.reused, true);
      if (answer.status !== 200) return told(answer);
      await sleep(100);
    }
  }

  async function withOpenConnection(
    change: () => Promise<unknown>,
    then: () => Promise<void>,
  ): Promise<void> {
    const crl = file('crl.pem', await lists());
    gateway = await start({ tls: { client_crl: crl } });
    try {
      assert.equal((await ask(gateway, { certificate: workload, agent })).status, 200);
      await change();
      await then();
    } finally {
      agent.destroy();
      await gateway.close();
    }
  }

  const changes: [title: string, change: () => Promise<unknown>, reason: string][] = [
    ['when it is revoked', async () => file('crl.pem', await lists([workload])), 'certificate_revoked'],
    [
      'when its authority is revoked',
      async () => file('crl.pem', await lists([authority])),
      'certificate_revoked',
    ],
    ['when a list has expired', async () => file('crl.pem', await lists([], -1)), 'certificate_list_expired'],
    [
      'when the list of its authority is missing',
      async () => file('crl.pem', await createRevocationList(root, [])),
      'certificate_list_expired',
    ],
    [
      'when its authority is no longer trusted',
      async () => file('ca.pem', (await createAuthority('CN=Another root')).cert),
      'certificate_untrusted',
    ],
  ];
  for (const [title, change, reason] of changes) {
    it(`stops working ${title}`, () =>
      withOpenConnection(change, async () =>
        assert.deepEqual(await untilRefused(), [401, 'invalid_token', reason]),
      ));
  }

  it('goes on when a list is renewed, and when its file is cut off in mid-write', () =>
    withOpenConnection(
      async () => file('crl.pem', (await lists([workload])).slice(0, 200)),
      async () => {
        await sleep(3_000); // The files are looked at every two seconds.
        assert.equal((await ask(gateway, { certificate: workload, agent })).status, 200);
        file('crl.pem', await lists());
        await sleep(3_000);
        const answer = await ask(gateway, { certificate: workload, agent });
        assert.deepEqual([answer.status, answer.reused], [200, true]);
      },
    ));
});

describe('revocation lists at the handshake', () => {
  const cases: [title: string, list: () => Promise<string>, status: number][] = [
    ['one list for each authority', () => lists(), 200],
    ['a revoked certificate', () => lists([workload]), 401],
    ['a revoked authority', () => lists([authority]), 401],
    ['expired lists', () => lists([], -1), 401],
    ['the list of the root alone', () => createRevocationList(root, []), 401],
    ['the list of the authority alone', () => createRevocationList(authority, []), 401],
  ];
  for (const [title, list, status] of cases) {
    it(`${title}: ${status}`, async (t) => {
      const gateway = await start({ tls: { client_crl: file('crl.pem', await list()) } });
      t.after(() => gateway.close());
      assert.equal((await ask(gateway, { certificate: workload })).status, status);
    });
  }

  for (const [title, text] of [
    ['an empty file', ''],
    ['a file with something else', '-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n'],
    ['half a list', '-----BEGIN X509 CRL-----\nMIIB'],
    ['a list that is none', '-----BEGIN X509 CRL-----\nMIIBAAAA\n-----END X509 CRL-----\n'],
  ] as const) {
    it(`refuse the start over ${title}`, () =>
      assert.rejects(start({ tls: { client_crl: file('crl.pem', text) } })));
  }
});

describe('an authority between', () => {
  it('is below a pinned root where client_ca lists it', async (t) => {
    const gateway = await start({ issuedBy: root });
    t.after(() => gateway.close());
    const certificate = await createCertificate({ authority: neighbouring, ...spiffe('batch') });
    for (const chain of [[], [neighbouring]])
      assert.equal((await ask(gateway, { certificate, chain })).status, 200);
  });

  it('that the caller alone brings is enough for an entry without a pinned authority', async (t) => {
    const gateway = await start({ issuedBy: null, authorities: root.cert });
    t.after(() => gateway.close());
    assert.equal((await ask(gateway, { certificate: workload })).status, 200);
    assert.equal(
      (await ask(gateway, { certificate: workload, chain: [] })).record['reason'],
      'certificate_untrusted',
    );
  });

  it('that the caller alone brings is not seen, so that nothing pinned matches', async (t) => {
    const gateway = await start({ issuedBy: root, authorities: root.cert });
    t.after(() => gateway.close());
    assert.equal((await ask(gateway, { certificate: workload })).record['reason'], 'certificate_unknown');
  });

  it('that the caller alone brings is asked for again on a new connection when the lists change', async (t) => {
    const gateway = await start({
      issuedBy: null,
      authorities: root.cert,
      tls: { client_crl: file('crl.pem', await lists()) },
    });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    t.after(() => {
      agent.destroy();
      return gateway.close();
    });
    assert.equal((await ask(gateway, { certificate: workload, agent })).status, 200);
    file('crl.pem', await lists([], 2));
    let answer = await ask(gateway, { certificate: workload, agent });
    while (answer.status === 200)
      answer = await sleep(100).then(() => ask(gateway, { certificate: workload, agent }));
    assert.deepEqual([answer.reused, ...told(answer)], [true, 401, 'invalid_token', 'certificate_untrusted']);
    const next = await ask(gateway, { certificate: workload, agent });
    assert.deepEqual([next.reused, next.status], [false, 200]);
  });
});
