// node-llama-cpp as its manual shows it: one context, one sequence per request, its own order of batches. The least
// HTTP server around it that streams as OpenAI does; no checks of any kind.
import { createServer } from 'node:http';
import { getLlama, LlamaLogLevel } from 'node-llama-cpp';
import { ready } from '../../contestants/process.mjs';

export async function start({ file, context: contextSize, sequences }) {
  const llama = await getLlama({
    gpu: false,
    build: 'never',
    skipDownload: true,
    logLevel: LlamaLogLevel.error,
    maxThreads: 1,
  });
  const model = await llama.loadModel({ modelPath: file, gpuLayers: 0 });
  const context = await model.createContext({ contextSize, sequences, threads: 1, batchSize: 512 });
  const free = Array.from({ length: sequences }, () => context.getSequence());

  const answer = async (body, response) => {
    const sequence = free.pop();
    const ids = model.tokenize(body.prompt, false);
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const event = (value) => response.write(`data: ${JSON.stringify(value)}\n\n`);
    let count = 0;
    const options = {
      temperature: body.temperature,
      topK: body.top_k,
      topP: body.top_p,
      seed: Math.floor(Math.random() * 2 ** 31),
    };
    for await (const id of sequence.evaluate(ids, options)) {
      event({ choices: [{ index: 0, text: model.detokenize([id]), finish_reason: null }] });
      if (++count >= body.max_tokens) break;
    }
    event({ choices: [], usage: { prompt_tokens: ids.length, completion_tokens: count } });
    response.end('data: [DONE]\n\n');
    await sequence.clearHistory();
    free.push(sequence);
  };

  const server = createServer((request, response) => {
    let text = '';
    request.setEncoding('utf8').on('data', (piece) => (text += piece));
    request.on('end', () => void answer(JSON.parse(text), response));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${server.address().port}` };
}

ready(import.meta.url, start);
