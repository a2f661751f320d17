// What the pipeline itself promises: its order, and that whatever goes wrong in a stage ends as one refusal and one record.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { pino } from 'pino';
import { newOutcome, type Received } from '../../gateway/exchange.ts';
import { handle } from '../../gateway/pipeline.ts';
import type { Route } from '../../gateway/policies/routes.ts';
import type { Services } from '../../gateway/services.ts';
import type { Snapshot } from '../../gateway/snapshot.ts';
import { received } from '../support/received.ts';

interface Seen {
  readonly records: Record<string, unknown>[];
  readonly counts: Record<string, unknown>[];
  readonly lines: string[];
}

let server: Server;
let url: string;
let parts: {
  readonly services: Partial<Services>;
  readonly snapshot: Partial<Snapshot>;
  readonly route: Partial<Route>;
};

before(async () => {
  server = createServer((request, response) => {
    const exchange: Received = { ...received(parts), request, response, outcome: newOutcome() };
    void handle(exchange);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`; // A TCP server.
});
after(() => server.close());

const hush = 'hush: a path, a stack, a secret';

/** Services of which one part may fail, and what they were told. */
function services(
  failing: { limitStore?: () => never; append?: () => never } = {},
): [Partial<Services>, Seen] {
  const seen: Seen = { records: [], counts: [], lines: [] };
  const state = { permitted: true, remaining: 1, resetMs: 1, endMs: 0 };
  return [
    {
      publicUrl: 'http://gateway',
      log: pino({ level: 'info' }, { write: (line: string) => void seen.lines.push(line) }),
      auditLog: {
        append: (record) => void seen.records.push({ ...record }),
        appendText:
          failing.append ??
          ((members) => void seen.records.push(JSON.parse(`{${members}}`) as Seen['records'][number])),
        problem: () => null,
        close: () => Promise.resolve(),
      },
      metrics: {
        requestEnded: (ended) => void seen.counts.push({ ...ended }),
        introspected: () => undefined,
        policyReloaded: () => undefined,
        decisionsLost: () => undefined,
        shadowCompared: () => undefined,
        askedOutside: () => undefined,
        render: () => Promise.resolve({ contentType: '', body: '' }),
      },
      limitStore: {
        kind: 'process',
        reserve: () => [],
        consume: () => Promise.resolve(state),
        countFailure: () => undefined,
        adjust: () => Promise.resolve(),
        peek: failing.limitStore ?? (() => Promise.resolve(state)),
        problem: () => null,
        close: () => Promise.resolve(),
      },
    },
    seen,
  ];
}

const failing = (): never => {
  throw new TypeError(hush);
};
const limits = {
  names: new Set<string>(),
  byName: new Map(),
  failedAuthentications: { name: 'failed_authentications', quota: 1, windowMs: 1_000 },
};
const snapshotWith = (verify: () => never): Partial<Snapshot> => ({
  limits,
  authentication: {
    seen: () => null,
    verify,
    issuers: [],
    accepted: [],
    scopesSupported: [],
    status: () => [],
    start: () => Promise.resolve(),
    refresh: () => Promise.resolve(),
    close: () => undefined,
  },
});

describe('a bug of ours in a stage', () => {
  for (const [title, store, verify] of [
    ['before authenticate', failing, failing],
    ['in authenticate', undefined, failing],
  ] as const) {
    it(`${title} refuses with internal_error, tells the caller nothing, and is logged and recorded once`, async () => {
      const [deps, seen] = services(store === undefined ? {} : { limitStore: store });
      parts = { services: deps, snapshot: snapshotWith(verify), route: {} };
      const answer = await fetch(url, {
        method: 'POST',
        headers: { authorization: 'Bearer a.b.c' },
        body: '{}',
      });
      const text = await answer.text();
      assert.equal(answer.status, 500);
      assert.equal((JSON.parse(text) as { error: { code: string } }).error.code, 'internal_error');
      assert.doesNotMatch(text, /hush/);
      assert.deepEqual(
        seen.records.map(({ status, code }) => [status, code]),
        [[500, 'internal_error']],
      );
      assert.equal(seen.counts.length, 1);
      assert.equal(seen.lines.length, 1);
    });
  }

  it('in accounting does not take the answer away', async () => {
    const [deps, seen] = services({ append: failing });
    parts = { services: deps, snapshot: snapshotWith(failing), route: {} };
    const answer = await fetch(url, { method: 'POST', body: '{}' });
    assert.equal(answer.status, 401);
    assert.equal(seen.lines.length, 1);
    assert.doesNotMatch(seen.lines.join(''), /hush/);
  });
});

describe('a refusal', () => {
  it('comes before any later stage has looked: no credential, no body read', async () => {
    const [deps, seen] = services();
    parts = { services: deps, snapshot: snapshotWith(failing), route: {} };
    const answer = await fetch(url, { method: 'POST', body: 'not even JSON' });
    assert.equal(answer.status, 401);
    assert.deepEqual(
      seen.records.map(({ code, principal, model, decided_by: rule }) => [code, principal, model, rule]),
      [['missing_credentials', null, null, null]],
    );
  });
});
