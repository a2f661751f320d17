// Run as a process of its own, so that NODE_EXTRA_CA_CERTS applies: signs in with Microsoft's libraries as their
// users do, and prints what came out as one JSON object.
import { ClientSecretCredential, DeviceCodeCredential } from '@azure/identity';
import {
  ConfidentialClientApplication,
  ProtocolMode,
  PublicClientApplication,
  type AuthenticationResult,
} from '@azure/msal-node';
import { accessScope, approveDevice, Browser, claimsOf, clientId, tenant } from './support.ts';

const base = process.env['IDENTITY_BASE'] ?? '';
const account = { username: 'admin', password: process.env['IDENTITY_PASSWORD'] ?? '' };
const secret = process.env['IDENTITY_SECRET'] ?? '';
const identity = { base };
const results: Record<string, unknown> = {};

function summary(answer: AuthenticationResult | null): unknown {
  const claims = claimsOf(answer?.accessToken ?? '');
  return {
    scp: claims.scp,
    azp: claims.azp,
    roles: claims.roles,
    username: answer?.account?.username,
    idtyp: claims.idtyp,
  };
}

async function device(authority: string, protocolMode: ProtocolMode): Promise<void> {
  const application = new PublicClientApplication({
    auth: { clientId: clientId(3), authority, knownAuthorities: [new URL(base).host] },
    system: { protocolMode },
  });
  let polls = 0;
  let approved: Promise<unknown> = Promise.resolve();
  const answer = await application.acquireTokenByDeviceCode({
    scopes: [accessScope],
    deviceCodeCallback: (response) => {
      polls++;
      results[`message ${authority} ${protocolMode}`] = response.message;
      approved = approveDevice(identity, response.userCode, account);
    },
  });
  await approved;
  results[`device ${authority.replace(base, '')} ${protocolMode}`] = {
    ...(summary(answer) as object),
    polls,
  };
  if (answer?.account == null) throw new Error('no account');
  // Renewed twice, past the cache: rotation holds.
  for (const round of [1, 2]) {
    const silent = await application.acquireTokenSilent({
      account: answer.account,
      scopes: [accessScope],
      forceRefresh: true,
    });
    results[`silent ${round} ${protocolMode}`] = summary(silent);
  }
}

async function interactive(): Promise<void> {
  const application = new PublicClientApplication({
    auth: { clientId: clientId(3), authority: `${base}/${tenant}`, knownAuthorities: [new URL(base).host] },
  });
  const answer = await application.acquireTokenInteractive({
    scopes: [accessScope],
    openBrowser: async (url) => {
      const browser = new Browser(base);
      await browser.open(url);
      await browser.submit(account);
      await browser.submit({ decision: 'grant' });
      // The browser without script presses the button of the self-submitting page.
      if (browser.html.includes('<form')) {
        const form = browser.form();
        await fetch(form.action, { method: 'POST', body: new URLSearchParams(form.fields) });
      } else {
        await fetch(browser.url);
      }
    },
  });
  results['interactive'] = summary(answer);
  if (answer.account === null) throw new Error('no account');
  results['interactive silent'] = summary(
    await application.acquireTokenSilent({
      account: answer.account,
      scopes: [accessScope],
      forceRefresh: true,
    }),
  );
}

async function confidential(): Promise<void> {
  const application = new ConfidentialClientApplication({
    auth: {
      clientId: 'reporting',
      clientSecret: secret,
      authority: `${base}/${tenant}`,
      knownAuthorities: [new URL(base).host],
    },
  });
  results['confidential'] = summary(
    await application.acquireTokenByClientCredential({ scopes: ['api://sallyport/.default'] }),
  );
}

async function azureIdentity(): Promise<void> {
  const options = { authorityHost: base, disableInstanceDiscovery: true };
  const byDevice = new DeviceCodeCredential({
    ...options,
    tenantId: tenant,
    clientId: clientId(3),
    userPromptCallback: ({ userCode }) => void approveDevice(identity, userCode, account),
  });
  const person = await byDevice.getToken(accessScope);
  results['azure-identity device'] = claimsOf(person.token).scp;
  const bySecret = new ClientSecretCredential(tenant, 'reporting', secret, options);
  results['azure-identity secret'] = claimsOf(
    (await bySecret.getToken('api://sallyport/.default')).token,
  ).roles;
}

await device(`${base}/${tenant}/v2.0`, ProtocolMode.OIDC);
await device(`${base}/${tenant}`, ProtocolMode.AAD);
await interactive();
await confidential();
await azureIdentity();
process.stdout.write(JSON.stringify(results));
