// The health check of a container: `node healthcheck.mjs http://host:port/path` or `unix:/socket:/path`. Exit 0 on 200.
import { get as getPlain } from 'node:http';
import { get as getSecure } from 'node:https';

const [target = ''] = process.argv.slice(2);
const unix = /^unix:([^:]+):(\/.*)$/.exec(target);
const request = unix
  ? getPlain({ socketPath: unix[1], path: unix[2] }, judge)
  : // The check asks its own process on loopback, whose certificate names another host.
    (target.startsWith('https:') ? getSecure : getPlain)(target, { rejectUnauthorized: false }, judge);
request.setTimeout(2500, () => fail('no answer'));
request.on('error', (error) => fail(error.code ?? error.message));

function judge(response) {
  response.resume();
  if (response.statusCode === 200) process.exit(0);
  fail(`status ${response.statusCode}`);
}

function fail(why) {
  process.stderr.write(`unhealthy: ${why}\n`);
  process.exit(1);
}
