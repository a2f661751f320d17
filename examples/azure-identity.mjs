// The same with @azure/identity's DeviceCodeCredential as the AzureOpenAI client's token provider.
//   NODE_EXTRA_CA_CERTS=data/tls/ca.pem node examples/azure-identity.mjs
import { DeviceCodeCredential, getBearerTokenProvider } from '@azure/identity';
import { AzureOpenAI } from 'openai';

const gateway = process.env.SALLYPORT_URL ?? 'https://127.0.0.1:8080';
const metadata = await (await fetch(`${gateway}/.well-known/oauth-protected-resource`)).json();
const issuer = new URL(metadata.authorization_servers[0]);

const credential = new DeviceCodeCredential({
  clientId: '5a11b0a7-0000-4000-8000-000000000003',
  tenantId: issuer.pathname.split('/')[1],
  authorityHost: issuer.origin,
  disableInstanceDiscovery: true,
  userPromptCallback: (device) => console.log(device.message),
});
const client = new AzureOpenAI({
  endpoint: gateway,
  apiVersion: '2024-10-21',
  azureADTokenProvider: getBearerTokenProvider(credential, metadata.scopes_supported[0]),
});
const completion = await client.completions.create({
  model: 'tiny-gpt2',
  prompt: 'The future of AI is',
  max_tokens: 24,
});
console.log('completion:', completion.choices[0].text.trim());
