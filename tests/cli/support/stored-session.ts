// Writes a sign-in as `login` would have stored it.
import {
  prepareStateFolder,
  sessionFile,
  writeSession,
  type Session,
} from '../../../cli/sign-in/session-file.ts';
import { makeAccessToken } from './scripted-servers.ts';

export function storeSession(
  folder: string,
  changes: Partial<Session> & Pick<Session, 'gateway'>,
): { readonly file: string; readonly session: Session } {
  const issuer = changes.issuer ?? 'http://127.0.0.1:9/tenant/v2.0';
  const { origin } = new URL(issuer);
  const session: Session = {
    version: 1,
    profile: 'default',
    issuer,
    client_id: '5a11b0a7-0000-4000-8000-000000000001',
    token_endpoint: `${origin}/token`,
    revocation_endpoint: `${origin}/revoke`,
    scope: 'api://sallyport/LLM.Access',
    access_token: makeAccessToken(),
    expires_at: Math.floor(Date.now() / 1000) + 3600,
    refresh_token: 'refresh-0',
    refresh_expires_at: null,
    subject: 'subject-1',
    username: 'admin',
    ...changes,
  };
  prepareStateFolder(folder);
  writeSession(session, folder);
  return { file: sessionFile(session, folder), session };
}

/** Epoch seconds of a moment ago. */
export const justExpired = (): number => Math.floor(Date.now() / 1000) - 5;
