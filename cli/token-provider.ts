// The package export `sallyport/token`: hands a program the access token of `sallyport login`, always valid for a
// while. Made for `new OpenAI({ apiKey: tokenProvider() })` and `azureADTokenProvider`, which ask before every attempt.
import { resolveGateway } from './gateway-address.ts';
import { defaultMarginSeconds, freshSession, secondsLeft } from './sign-in/renewal.ts';
import type { Session } from './sign-in/session-file.ts';
import { findCertificateAuthority } from './trusted-fetch.ts';

/** Which sign-in to use; by default the one that `sallyport token` would use. */
export interface TokenProviderOptions {
  /** URL of the gateway; default: SALLYPORT_URL, the profile's gateway, http://127.0.0.1:8080. */
  readonly gateway?: string;
  /** Name of the stored sign-in; default: SALLYPORT_PROFILE, `default`. */
  readonly profile?: string;
  /** How long a token must stay valid to be handed out, in seconds; at least 60, the default. */
  readonly minTtlSeconds?: number;
  /** PEM file of a certificate authority to trust for the issuer, beside the system's. */
  readonly certificateAuthority?: string;
}

/**
 * Makes a function that answers a valid access token: from memory, else from the sign-in's file, else renewed at the
 * issuer, once however many ask at the same time and in however many processes.
 * The function rejects with an Error whose `code` is `sign_in_needed` when nobody is signed in, or the sign-in ended.
 */
export function tokenProvider(options: TokenProviderOptions = {}): () => Promise<string> {
  const minTtlSeconds = Math.max(options.minTtlSeconds ?? defaultMarginSeconds, defaultMarginSeconds);
  let cached: Session | null = null;
  let inFlight: Promise<Session> | null = null;
  const load = async (): Promise<Session> => {
    const address = resolveGateway(options);
    const certificateAuthority = findCertificateAuthority(address, options.certificateAuthority);
    // A lifetime shorter than the margin would renew on every call; freshSession answers what the issuer gives.
    return freshSession({
      address,
      certificateAuthority,
      ...(options.minTtlSeconds === undefined ? {} : { minTtlSeconds }),
    });
  };
  return async () => {
    if (cached !== null && secondsLeft(cached) > minTtlSeconds) return cached.access_token;
    inFlight ??= load().finally(() => {
      inFlight = null;
    });
    cached = await inFlight;
    return cached.access_token;
  };
}
