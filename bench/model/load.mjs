// Clients of a completion endpoint: all start together, or `spacingMs` apart, and note when each piece of text comes.
// Also a program that measures any server, for instance a Python one on a machine that has Python (docs/performance-model-server.md):
//   node bench/model/load.mjs --url http://127.0.0.1:8000/generate --clients 8 --max-tokens 50 [--pid PID] [--rounds 3]
// An URL that ends in /completions is spoken to as OpenAI's (streamed); any other gets {prompt, max_length} and answers whole.
import { Agent, request as httpRequest } from 'node:http';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { cpuOf, memoryOf } from '../harness/processes.mjs';
import { createPrompts } from './prompts.mjs';
import { median, summarise } from './streams.mjs';

// A connection per request: llama-server closes a kept one in its own time, at times in the face of the next request.
const agent = new Agent({ keepAlive: false, maxSockets: 128 });
const sampling = { temperature: 0.8, top_p: 0.95 };

/** One run: `headers[i]` and `members` are added to the request of each prompt. Resolves with its streams. */
export async function load({ url, prompts, maxTokens, headers = [], members = {}, spacingMs = 0 }) {
  return Promise.all(
    prompts.map(async (prompt, index) => {
      if (spacingMs > 0) await new Promise((resolve) => setTimeout(resolve, index * spacingMs));
      return url.endsWith('completions')
        ? stream(url, bodyOf(url, prompt, maxTokens, members), headers[index] ?? {})
        : whole(url, { prompt, max_length: maxTokens, ...members }, headers[index] ?? {}, maxTokens);
    }),
  );
}

function bodyOf(url, prompt, maxTokens, members) {
  const text = url.endsWith('/chat/completions')
    ? { messages: [{ role: 'user', content: prompt }] }
    : { prompt };
  return {
    model: 'tiny-gpt2',
    ...text,
    max_tokens: maxTokens,
    ...sampling,
    top_k: 40,
    stream: true,
    stream_options: { include_usage: true },
    ...members,
  };
}

async function stream(url, body, headers) {
  const startedAt = performance.now();
  const response = await post(url, body, headers);
  const texts = [];
  let usage;
  let unread = '';
  for await (const piece of response.setEncoding('utf8')) {
    const at = performance.now();
    const events = (unread + piece).split('\n\n');
    unread = events.pop();
    for (const event of events) {
      if (!event.startsWith('data: {')) continue;
      const { choices, usage: counted, error } = JSON.parse(event.slice(6));
      if (error !== undefined) throw new Error(`${url} failed within the stream: ${error.message}`);
      const [choice] = choices;
      if ((choice?.text ?? choice?.delta?.content ?? '') !== '') texts.push(at);
      usage = counted ?? usage;
    }
  }
  return {
    startedAt,
    texts,
    endedAt: performance.now(),
    promptTokens: usage?.prompt_tokens ?? 0,
    completionTokens: usage?.completion_tokens ?? texts.length,
  };
}

/** An answer in one piece; who does not count its tokens is taken to have generated as many as were asked for. */
async function whole(url, body, headers, maxTokens) {
  const startedAt = performance.now();
  const response = await post(url, body, headers);
  let text = '';
  for await (const piece of response.setEncoding('utf8')) text += piece;
  const endedAt = performance.now();
  const usage = JSON.parse(text).usage;
  const completionTokens = usage?.completion_tokens ?? maxTokens;
  return { startedAt, texts: [endedAt], endedAt, promptTokens: usage?.prompt_tokens ?? 0, completionTokens };
}

function post(url, body, headers) {
  const payload = JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const request = httpRequest(url, {
      method: 'POST',
      agent,
      headers: {
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(payload),
        ...headers,
      },
    });
    request.on('error', reject);
    request.on('response', (response) => {
      if (response.statusCode === 200) return resolve(response);
      let text = '';
      response.setEncoding('utf8').on('data', (piece) => (text += piece));
      response.on('end', () => reject(new Error(`${url} answered ${response.statusCode}: ${text}`)));
    });
    request.end(payload);
  });
}

async function main() {
  const { values } = parseArgs({
    options: {
      url: { type: 'string' },
      clients: { type: 'string', default: '8' },
      'max-tokens': { type: 'string', default: '50' },
      rounds: { type: 'string', default: '3' },
      header: { type: 'string', multiple: true, default: [] },
      pid: { type: 'string' },
    },
  });
  if (values.url === undefined) throw new Error('--url is missing');
  const clients = Number(values.clients);
  const given = Object.fromEntries(values.header.map((line) => line.split(/:\s*/, 2)));
  const prompts = createPrompts();
  const serverId = values.pid === undefined ? null : Number(values.pid);
  const run = async () => {
    const before = serverId === null ? null : cpuOf(serverId);
    const streams = await load({
      url: values.url,
      prompts: prompts(clients),
      maxTokens: Number(values['max-tokens']),
      headers: Array.from({ length: clients }, () => given),
    });
    const usage =
      serverId === null
        ? null
        : { cpuSeconds: (cpuOf(serverId) - before) / 1e6, memoryBytes: memoryOf(serverId) };
    return summarise(streams, usage);
  };
  await run(); // Not measured: the first request pays for what is loaded late.
  const rows = [];
  for (let round = 0; round < Number(values.rounds); round++) rows.push(await run());
  const of = (member) => {
    const figures = rows.map((row) => row[member]).filter((figure) => figure !== null);
    return figures.length === 0 ? null : Number(median(figures).toPrecision(4));
  };
  console.log(
    JSON.stringify(Object.fromEntries(Object.keys(rows[0]).map((member) => [member, of(member)])), null, 1),
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    await main();
  } catch (error) {
    console.error(`load: ${error.message}`);
    process.exitCode = 1;
  }
  agent.destroy();
}
