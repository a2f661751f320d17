// `npm run bench [-- --short]`: what the gateway costs beside a direct connection and a bare pass-through. Every part is
// a process of its own; rounds are interleaved, so that a noisy moment hits all contestants. docs/performance.md says
// how to read the table.
import { fork } from 'node:child_process';
import { generateKeyPair, randomUUID } from 'node:crypto';
import { promisify } from 'node:util';
import { exportJWK, SignJWT } from 'jose';

const isShort = process.argv.includes('--short');
const plan = isShort
  ? { rounds: 3, durationMs: 1500, latencyMs: 1500 }
  : { rounds: 7, durationMs: 4000, latencyMs: 4000 };
const connections = 32;
const rate = 300;
const target = 2;
/** Counted, not timed: on a busy machine a moment is too short for the compiler to be done with every contestant. */
const warmRequests = 30_000;
const body = JSON.stringify({
  model: 'tiny-gpt2',
  messages: [{ role: 'user', content: 'x'.repeat(429) }],
  max_tokens: 40,
});

const children = [];

/** Starts one part and waits until it listens. */
async function part(file, options = {}) {
  const child = fork(new URL(file, import.meta.url), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  children.push(child);
  const ask = (message, member) =>
    new Promise((resolve, reject) => {
      const listen = (reply) => {
        if (reply.failed !== undefined) reject(new Error(`${file}: ${reply.failed}`));
        if (reply[member] === undefined) return;
        child.off('message', listen);
        child.off('exit', gone);
        resolve(member === 'cpu' ? reply : reply[member]);
      };
      const gone = () => reject(new Error(`${file} has ended`));
      child.on('message', listen);
      child.once('exit', gone);
      child.send(message);
    });
  const started = await ask({ start: options }, 'started');
  return { ...started, cpu: () => ask({ cpu: true }, 'cpu'), run: (options) => ask({ run: options }, 'ran') };
}

/** 100 access tokens of 100 people, as the embedded identity server issues them. */
async function accessTokens(privateKey, issuer) {
  const tenant = '5a11b0a7-0000-4000-8000-000000000000';
  return Promise.all(
    Array.from({ length: 100 }, () => {
      const subject = randomUUID();
      const claims = {
        tid: tenant,
        oid: subject,
        client_id: '5a11b0a7-0000-4000-8000-000000000001',
        azp: '5a11b0a7-0000-4000-8000-000000000001',
        scp: 'LLM.Access',
        roles: ['LLM.User'],
        groups: [],
        ver: '2.0',
        preferred_username: `${subject}@example.test`,
        name: 'A Person of the Bench',
        jti: randomUUID(),
      };
      return new SignJWT(claims)
        .setProtectedHeader({ alg: 'RS256', typ: 'at+jwt', kid: 'bench' })
        .setIssuer(issuer)
        .setAudience('api://sallyport')
        .setSubject(subject)
        .setIssuedAt()
        .setNotBefore('-1s')
        .setExpirationTime('1h')
        .sign(privateKey);
    }),
  );
}

async function statusOf(port, accessToken) {
  const headers = {
    'content-type': 'application/json',
    ...(accessToken === null ? {} : { authorization: `Bearer ${accessToken}` }),
  };
  const answer = await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
    method: 'POST',
    headers,
    body,
  });
  await answer.arrayBuffer();
  return answer.status;
}

/** The gateway must really be guarding, or its figures mean nothing. */
async function checkGuard(port, tokens) {
  const [first] = tokens;
  const [header, payload, signature] = first.split('.');
  const changed = `${header}.${payload}.${signature.startsWith('A') ? 'B' : 'A'}${signature.slice(1)}`;
  // The keys of the issuer are fetched in the background; the first moments may answer 503.
  for (let tries = 0; tries < 50 && (await statusOf(port, first)) === 503; tries++)
    await new Promise((resolve) => setTimeout(resolve, 100));
  const seen = [await statusOf(port, first), await statusOf(port, null), await statusOf(port, changed)];
  if (seen.join() !== '200,401,401')
    throw new Error(`the gateway does not guard as it should: ${seen.join()} instead of 200,401,401`);
}

const median = (values) => [...values].sort((left, right) => left - right)[Math.floor(values.length / 2)];

async function main() {
  const { publicKey, privateKey } = await promisify(generateKeyPair)('rsa', { modulusLength: 2048 });
  const jwks = { keys: [{ ...(await exportJWK(publicKey)), kid: 'bench', use: 'sig', alg: 'RS256' }] };
  const upstream = await part('./contestants/mock-upstream.mjs', { jwks });
  const passThrough = await part('./contestants/pass-through.mjs', { upstreamPort: upstream.port });
  const gateway = await part('./contestants/gateway.mjs', {
    upstreamPort: upstream.port,
    issuer: upstream.issuer,
  });
  const load = await part('./load.mjs');
  const tokens = await accessTokens(privateKey, upstream.issuer);
  await checkGuard(gateway.port, tokens);

  const contestants = [
    { name: 'direct', part: upstream },
    { name: 'pass-through', part: passThrough },
    { name: 'gateway', part: gateway },
  ].map((contestant) => ({ ...contestant, cpu: [], rate: [], p50: [], rss: 0 }));
  const run = (contestant, options) =>
    load.run({ port: contestant.part.port, tokens, body, connections, rate: null, ...options });
  for (const contestant of contestants) {
    let warmed = 0;
    for (let tries = 0; warmed < warmRequests && tries < 20; tries++)
      warmed += (await run(contestant, { durationMs: 1_000 })).count;
  }

  for (let round = 0; round < plan.rounds; round++) {
    for (const contestant of contestants) {
      const before = await contestant.part.cpu();
      const result = await run(contestant, { durationMs: plan.durationMs });
      const after = await contestant.part.cpu();
      if (Object.keys(result.statuses).join() !== '200')
        throw new Error(`${contestant.name} answered ${JSON.stringify(result.statuses)}`);
      contestant.cpu.push((after.cpu - before.cpu) / result.count);
      contestant.rate.push(result.count / result.seconds);
      contestant.rss = after.rss;
      const calm = await run(contestant, { durationMs: plan.latencyMs, rate, connections: 8 });
      contestant.p50.push(calm.p50);
    }
  }
  report(contestants);
}

function report(contestants) {
  const [direct, passThrough, gateway] = contestants;
  const cell = (text, width) => String(text).padStart(width);
  console.log(
    `\nNode ${process.version}, ${plan.rounds} interleaved rounds, ${connections} connections, 100 access tokens, medians\n`,
  );
  console.log(
    `${'contestant'.padEnd(14)}${cell('CPU µs/request', 16)}${cell('(min-max)', 14)}${cell('requests/s', 12)}${cell(`p50 µs at ${rate}/s`, 18)}${cell('added p50', 11)}${cell('RSS MiB', 9)}`,
  );
  for (const { name, cpu, rate: rates, p50, rss } of contestants) {
    const spread = `(${Math.min(...cpu).toFixed(1)}-${Math.max(...cpu).toFixed(1)})`;
    const added = (median(p50) - median(direct.p50)).toFixed(0);
    console.log(
      `${name.padEnd(14)}${cell(median(cpu).toFixed(1), 16)}${cell(spread, 14)}${cell(median(rates).toFixed(0), 12)}${cell(median(p50).toFixed(0), 18)}${cell(added, 11)}${cell((rss / 1048576).toFixed(0), 9)}`,
    );
  }
  // The ratio within each round, because noise changes from round to round.
  const ratio = median(gateway.cpu.map((micros, round) => micros / passThrough.cpu[round]));
  console.log(
    `\ngateway / pass-through, CPU per request: ${ratio.toFixed(2)} (target: at most ${target})  ${ratio <= target ? 'met' : 'MISSED'}`,
  );
  console.log(
    `gateway / upstream itself, CPU per request: ${(median(gateway.cpu) / median(direct.cpu)).toFixed(2)}`,
  );
}

try {
  await main();
} catch (error) {
  console.error(`bench: ${error.message}`);
  process.exitCode = 1;
} finally {
  for (const child of children) child.disconnect();
}
