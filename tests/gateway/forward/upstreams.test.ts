import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { gatewayConfigSchema } from '../../../gateway/config.ts';
import { parseUpstreamUrl } from '../../../gateway/forward/upstream-address.ts';
import { createUpstreams, type Upstreams } from '../../../gateway/forward/upstreams.ts';
import { hang, json, raw, startFakeUpstream } from '../../support/fake-upstream.ts';
import { ask, startStubGateway } from './stub-gateway.ts';

function upstreamsOf(upstreams: Record<string, object>): Upstreams {
  return createUpstreams(gatewayConfigSchema.parse({ upstreams }).upstreams, {
    signer: { sign: () => 'unused' },
  });
}

describe('the address of an upstream', () => {
  it('is a Unix socket or an origin with an optional prefix', () => {
    assert.deepEqual(parseUpstreamUrl('unix:data/run/model.sock'), {
      origin: 'http://localhost',
      socketPath: 'data/run/model.sock',
      basePath: '',
    });
    assert.deepEqual(parseUpstreamUrl('https://llm.example:8443/api/'), {
      origin: 'https://llm.example:8443',
      socketPath: null,
      basePath: '/api',
    });
    assert.deepEqual(parseUpstreamUrl('http://[::1]:8000'), {
      origin: 'http://[::1]:8000',
      socketPath: null,
      basePath: '',
    });
  });

  for (const url of [
    'http://user:secret@llm.example',
    'http://llm.example/?key=1',
    'http://llm.example/#x',
    'http://',
    'ftp://llm.example',
    'llm.example',
  ]) {
    it(`is refused in the configuration as ${url.replace('secret', '…')}, without repeating a secret`, () => {
      assert.throws(
        () => upstreamsOf({ bad: { kind: 'openai', url } }),
        (error: Error) => error.name === 'ZodError' && !error.message.includes('secret'),
      );
    });
  }

  it('is refused at start when its key or its CA cannot be read, and the error names the upstream', () => {
    assert.throws(
      () =>
        upstreamsOf({
          cloud: { kind: 'openai', url: 'https://llm.example', api_key: 'env:FORWARD_TEST_NOT_SET' },
        }),
      /upstreams\.cloud.*FORWARD_TEST_NOT_SET/,
    );
    assert.throws(
      () => upstreamsOf({ cloud: { kind: 'openai', url: 'https://llm.example', ca: '/no/such/ca.pem' } }),
      /upstreams\.cloud.*ca\.pem/,
    );
  });

  it('with a prefix puts it before every path', async () => {
    const upstream = await startFakeUpstream(json({ choices: [] }));
    const gateway = await startStubGateway({ url: `${upstream.url}/prefix` });
    await ask(gateway);
    assert.equal(upstream.requests[0]?.path, '/prefix/v1/chat/completions');
    await gateway.close();
    await upstream.close();
  });

  it('as a Unix socket is spoken to over the socket', async () => {
    const upstream = await startFakeUpstream(
      json({ choices: [] }),
      join(tmpdir(), `sallyport-upstream-${process.pid}.sock`),
    );
    const gateway = await startStubGateway({ url: upstream.url });
    assert.equal((await ask(gateway)).status, 200);
    await gateway.close();
    await upstream.close();
  });
});

describe('the status of upstreams', () => {
  it('tells each one that answers from each one that does not, and why, within a second or so', async () => {
    const gone = await startFakeUpstream(hang);
    await gone.close();
    const [good, loading, silent, garbage] = await Promise.all(
      [json({}), json({}, { status: 503 }), hang, raw('garbage\r\n')].map((script) =>
        startFakeUpstream(script),
      ),
    );
    const upstreams = upstreamsOf({
      good: { kind: 'openai', url: good?.url },
      unknown: { kind: 'http', url: good?.url },
      loading: { kind: 'openai', url: loading?.url },
      silent: { kind: 'openai', url: silent?.url },
      garbage: { kind: 'openai', url: garbage?.url },
      gone: { kind: 'openai', url: gone.url },
    });
    assert.deepEqual(await upstreams.status(), [
      { name: 'good', ready: true, problem: null },
      { name: 'unknown', ready: true, problem: null },
      { name: 'loading', ready: false, problem: 'answers 503' },
      { name: 'silent', ready: false, problem: 'does not answer within 1000 ms' },
      { name: 'garbage', ready: false, problem: 'sends an invalid answer' },
      { name: 'gone', ready: false, problem: 'cannot be reached' },
    ]);
    assert.equal(good?.requests[0]?.path, '/healthz');
    await upstreams.close();
    for (const upstream of [good, loading, silent, garbage]) await upstream?.close();
  });

  it('of no upstream is an empty list, and an unknown name has none', async () => {
    const upstreams = upstreamsOf({});
    assert.deepEqual(await upstreams.status(), []);
    assert.equal(upstreams.get('nope'), undefined);
    await upstreams.close();
  });
});
