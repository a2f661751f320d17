// The unmodified OpenAI client: base URL = the gateway, credential = a function that keeps the access token fresh.
//   npx sallyport login && node examples/openai.mjs
// With `npm start -- --tls` also: NODE_EXTRA_CA_CERTS=data/tls/ca.pem
import OpenAI from 'openai';
import { tokenProvider } from 'sallyport/token';

const client = new OpenAI({
  baseURL: `${process.env.SALLYPORT_URL ?? 'http://127.0.0.1:8080'}/v1`,
  apiKey: tokenProvider(),
});
const model = process.env.MODEL ?? 'tiny-gpt2';

const models = await client.models.list();
console.log('models:', models.data.map((entry) => entry.id).join(', '));

const completion = await client.completions.create({
  model,
  prompt: 'The future of AI is',
  max_tokens: 24,
  seed: 1,
});
console.log('completion:', completion.choices[0].text.trim());

const chat = await client.chat.completions.create({
  model,
  messages: [{ role: 'user', content: 'Tell me of the sea.' }],
  max_completion_tokens: 24,
});
console.log('chat:', chat.choices[0].message.content.trim(), chat.usage);

process.stdout.write('stream: ');
const stream = await client.chat.completions.create({
  model,
  messages: [{ role: 'user', content: 'Tell me of the sea.' }],
  max_completion_tokens: 24,
  stream: true,
  stream_options: { include_usage: true },
});
for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta.content ?? '');
process.stdout.write('\n');

const embedding = await client.embeddings.create({ model, input: ['a ship at sea', 'a boat on the water'] });
console.log('embeddings:', embedding.data.length, 'of', embedding.data[0].embedding.length, 'numbers');
