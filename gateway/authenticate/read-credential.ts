// The credential of a request, read once for each distinct head: a caller's heads are alike, byte for byte, and the credential
// with its digest is a pure function of them. That saves reading and a hash, never a judgement: whether the credential
// still counts is asked on every request.
import type { Received } from '../exchange.ts';
import { presentedCredential, type PresentedCredential } from './credentials.ts';
import { digestOf } from './verified-tokens.ts';

/** A credential and by what it is kept. */
export interface ReadCredential {
  readonly credential: PresentedCredential;
  readonly digest: string;
}

/** Weak, so that a credential is forgotten with the head that carried it (ingress/known-heads.ts). */
const byHead = new WeakMap<object, ReadCredential>();

/** The access token that a request presents, or null. Checks and throws as `presentedCredential` does. */
export function readCredential({
  request,
  target,
}: Pick<Received, 'request' | 'target'>): ReadCredential | null {
  const { headIdentity } = request;
  const known = headIdentity === undefined ? undefined : byHead.get(headIdentity);
  if (known !== undefined) return known;
  const credential = presentedCredential(request.rawHeaders, target.path, target.query);
  if (credential === null) return null;
  const read = { credential, digest: digestOf(credential.accessToken) };
  if (headIdentity !== undefined) byHead.set(headIdentity, read);
  return read;
}
