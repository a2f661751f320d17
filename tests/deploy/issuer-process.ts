// A fake issuer as a process of its own, for a network namespace: prints its address and one access token, then serves.
import { startFakeIssuer } from '../support/fake-issuer.ts';

const issuer = await startFakeIssuer();
process.stdout.write(
  `${JSON.stringify({ issuer: issuer.issuer, accessToken: issuer.mint({ roles: ['LLM.User'] }) })}\n`,
);
