import { accessTokens, signingKey } from './harness/access-tokens.mjs';
import { cpuOf, endAll, startNodePart } from './harness/processes.mjs';
const body = JSON.stringify({ model: 'tiny-gpt2', messages: [{ role: 'user', content: 'x'.repeat(429) }], max_tokens: 40 });
const signing = await signingKey('ES256');
const load = await startNodePart('load.mjs', { jwks: signing.jwks });
const variants = process.argv.slice(2);
const parts = [];
for (const v of variants) { const [env, flags] = v.includes('|') ? v.split('|') : ['', v]; for (const e of env.split(' ').filter(Boolean)) process.env[e.split('=')[0]] = e.split('=')[1];
 parts.push({ v, p: await startNodePart('contestants/watched-gateway.mjs', { upstreamPort: load.port, issuer: load.issuer, algorithms: ['ES256'] }, { execArgv: flags.split(' ').filter(Boolean) }), cpu: [] });
 for (const e of env.split(' ').filter(Boolean)) delete process.env[e.split('=')[0]]; }
const tokens = await accessTokens(100, { ...signing, issuer: load.issuer });
await load.ask({ keep: { pool: 'a', tokens } }, 'keep');
const go = (part, count) => load.ask({ run: { port: part.p.port, pool: 'a', count, body, connections: 32 } }, 'ran');
for (const part of parts) await go(part, 8000);
for (let r = 0; r < Number(process.env.ROUNDS ?? 8); r++) for (const part of parts) { const b = cpuOf(part.p.pid); await go(part, 4000); part.cpu.push((cpuOf(part.p.pid) - b) / 4000); }
for (const { v, cpu, p } of parts) { const s = cpu.toSorted((a, b) => a - b); console.log(v.padEnd(60), 'min', s[0].toFixed(1), 'q25', s[Math.floor(s.length / 4)].toFixed(1), 'med', s[Math.floor(s.length / 2)].toFixed(1)); }
endAll();
