// Sign in with Microsoft's own library against the embedded identity server, then call the gateway.
// MSAL speaks https only, so start the servers with `npm start -- --tls` and trust their local authority with the one
// environment variable:
//   NODE_EXTRA_CA_CERTS=data/tls/ca.pem node examples/msal-device-code.mjs
import { PublicClientApplication } from '@azure/msal-node';
import OpenAI from 'openai';

const gateway = process.env.SALLYPORT_URL ?? 'https://127.0.0.1:8080';
// Whose tokens the gateway accepts, and for which scope, is public (RFC 9728).
const metadata = await (await fetch(`${gateway}/.well-known/oauth-protected-resource`)).json();
const issuer = new URL(metadata.authorization_servers[0]);

const application = new PublicClientApplication({
  auth: {
    clientId: '5a11b0a7-0000-4000-8000-000000000003', // "notebooks and scripts" in policies/issuers.yaml
    authority: issuer.href.replace(/\/v2\.0$/, ''),
    knownAuthorities: [issuer.host],
  },
});
const signedIn = await application.acquireTokenByDeviceCode({
  scopes: metadata.scopes_supported,
  deviceCodeCallback: (device) => console.log(device.message),
});
console.log('signed in as', signedIn.account.username);

const client = new OpenAI({ baseURL: `${gateway}/v1`, apiKey: signedIn.accessToken });
const completion = await client.completions.create({
  model: 'tiny-gpt2',
  prompt: 'The future of AI is',
  max_tokens: 24,
});
console.log('completion:', completion.choices[0].text.trim());
