// The AzureOpenAI client class on the Azure-style paths, with a token provider instead of an API key.
//   npx sallyport login && node examples/azure-openai.mjs
import { AzureOpenAI } from 'openai';
import { tokenProvider } from 'sallyport/token';

const client = new AzureOpenAI({
  endpoint: process.env.SALLYPORT_URL ?? 'http://127.0.0.1:8080',
  apiVersion: '2024-10-21',
  azureADTokenProvider: tokenProvider(),
});
const model = process.env.MODEL ?? 'tiny-gpt2'; // Azure calls it the deployment.

const chat = await client.chat.completions.create({
  model,
  messages: [{ role: 'user', content: 'Tell me of the sea.' }],
  max_completion_tokens: 24,
});
console.log('chat:', chat.choices[0].message.content.trim());

process.stdout.write('stream: ');
const stream = await client.completions.create({
  model,
  prompt: 'The future of AI is',
  max_tokens: 24,
  stream: true,
});
for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.text ?? '');
process.stdout.write('\n');
