// Starts the identity server: database, keys, first administrator, listener.
import type { IdentityConfig } from './config.ts';

export interface IdentityHooks {
  /** Called once, when the very first account has been created; without it the password goes to `<data>/first-admin`. */
  readonly firstAdministrator?: (username: string, password: string) => void;
}

export interface IdentityServer {
  /** `host:port` or `unix:path`. */
  readonly address: string;
  readonly issuer: string;
  /** Signs with a fresh key from now on; the old one stays published until its last token has expired. */
  rotateSigningKey(): Promise<string>;
  close(): Promise<void>;
}

/** Starts the identity server. @throws Error with a sentence for the operator. */
export async function startIdentity(config: IdentityConfig, hooks: IdentityHooks = {}): Promise<IdentityServer> {
  await Promise.resolve([config, hooks]);
  throw new Error('not yet');
}
