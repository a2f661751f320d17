// HAProxy, one thread: bearer token, RS256 signature against a public key file on every request, claims (algorithm,
// issuer, audience, expiry, role), a rate limit per subject in a stick table.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort, isInstalled, startProgram } from '../harness/processes.mjs';

export const isHere = () => isInstalled('haproxy', ['-v']);

export async function launch({ folder, core, upstreamPort, issuer, audience, role, pem }) {
  const port = await freePort();
  const key = join(folder, 'haproxy-key.pem');
  const file = join(folder, 'haproxy.cfg');
  writeFileSync(key, pem);
  writeFileSync(file, configuration({ port, upstreamPort, issuer, audience, role, key }));
  return startProgram(['haproxy', '-db', '-f', file], port, { core });
}

function configuration({ port, upstreamPort, issuer, audience, role, key }) {
  return `
global
    nbthread 1
    maxconn 4096
    tune.bufsize 16384

defaults
    mode http
    option http-keep-alive
    # Without it, chunks of a stream are held back.
    option http-no-delay
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout http-request 10s

frontend door
    bind 127.0.0.1:${port}
    stick-table type string len 64 size 200k expire 2m store http_req_rate(1m)
    http-request deny deny_status 401 unless { req.hdr(authorization) -m beg -i "bearer " }
    http-request set-var(txn.bearer) http_auth_bearer
    http-request set-var(txn.alg) var(txn.bearer),jwt_header_query('$.alg')
    http-request set-var(txn.iss) var(txn.bearer),jwt_payload_query('$.iss')
    http-request set-var(txn.aud) var(txn.bearer),jwt_payload_query('$.aud')
    http-request set-var(txn.exp) var(txn.bearer),jwt_payload_query('$.exp','int')
    http-request set-var(txn.sub) var(txn.bearer),jwt_payload_query('$.sub')
    http-request set-var(txn.role) var(txn.bearer),jwt_payload_query('$.roles[0]')
    http-request set-var(txn.now) date()
    http-request deny deny_status 401 unless { var(txn.alg) -m str RS256 }
    http-request deny deny_status 401 unless { var(txn.iss) -m str ${issuer} }
    http-request deny deny_status 401 unless { var(txn.aud) -m str ${audience} }
    http-request deny deny_status 401 if { var(txn.exp),sub(txn.now) -m int le 0 }
    http-request deny deny_status 401 unless { var(txn.bearer),jwt_verify(txn.alg,"${key}") -m int 1 }
    http-request deny deny_status 403 unless { var(txn.role) -m str ${role} }
    http-request track-sc0 var(txn.sub)
    http-request deny deny_status 429 if { sc_http_req_rate(0) gt 1000000000 }
    http-request del-header authorization
    default_backend models

backend models
    http-reuse always
    server mock 127.0.0.1:${upstreamPort}
`;
}
