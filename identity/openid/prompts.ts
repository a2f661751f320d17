// What a person is asked before anything is granted: sign in, for a device the press on "It matches", consent.
import { interactionPolicy, type KoaContextWithOIDC } from 'oidc-provider';

/** Name of the prompt that confirms a device; it also grants what the page lists. */
export const devicePrompt = 'device';

/** The ordered prompts. */
export function promptPolicy(): interactionPolicy.DefaultPolicy {
  const policy = interactionPolicy.base();
  const { Check, Prompt } = interactionPolicy;
  const confirmation = new Check(
    'device_confirmation',
    'the person has not confirmed the device',
    'interaction_required',
    (ctx) => isDeviceFlow(ctx) && ctx.oidc.result?.[devicePrompt] === undefined,
  );
  const gone = new Check(
    'account_gone',
    'the account of the session may not sign in',
    (ctx) => ctx.oidc.session?.accountId !== undefined && ctx.oidc.account === undefined,
  );
  // oidc-provider looks at the session alone and would stumble over the missing account later.
  policy.get('login')?.checks.add(gone);
  policy.add(new Prompt({ name: devicePrompt }, confirmation), 1);
  return policy;
}

// RFC 8628 §5.4: asked even with verification_uri_complete and an existing session, against remote phishing.
function isDeviceFlow(ctx: KoaContextWithOIDC): boolean {
  return ctx.oidc.route === 'code_verification' || ctx.oidc.route === 'device_resume';
}
