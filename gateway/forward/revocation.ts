// Answers `kind: revocations` routes: an administrator ends a credential, or all credentials of a principal, of any
// issuer, before they expire. Answered when every process of this gateway can know it.
import { z } from 'zod';
import { GatewayError } from '../../core/errors.ts';
import type { Revocation } from '../authenticate/index.ts';
import type { Guarded } from '../exchange.ts';
import { jsonHead } from './answer-head.ts';

const request = z.strictObject({
  issuer: z.string().min(1).max(2_048),
  credential: z.string().min(1).max(512).optional(),
  subject: z.string().min(1).max(512).optional(),
  expires_at: z.int().positive().optional(),
});
type RevocationRequest = z.output<typeof request>;

/** A credential may be accepted for so long after it has expired: the largest clock skew. */
const leewaySeconds = 60;
// Somebody pastes the credential instead of its id: it must not come to lie in files.
const looksLikeCredential = /^ey[\w-]+\.|^sp_\w+_\w{20,}$/;

/**
 * Revokes and answers 201 with what now holds.
 * Checks: the body's members, that the issuer is one of issuers.yaml, that an id is not a credential.
 * Does not check: that such a credential or subject exists; only its issuer knows.
 * @throws GatewayError `body_invalid`, `revocation_unavailable`
 */
export async function answerRevocation(guarded: Guarded): Promise<void> {
  const { services, outcome, response, principal } = guarded;
  const asked = parseRequest(guarded.body?.json ?? {});
  const at = Math.floor(Date.now() / 1_000);
  const revocations = revocationsFor(asked, guarded, at);
  const record = (isComplete: boolean): void =>
    services.auditLog.append({
      event: 'revocation',
      at: new Date(at * 1_000).toISOString(),
      request_id: guarded.id,
      by: principal.key,
      issuer: asked.issuer,
      credential: asked.credential ?? null,
      subject: asked.subject ?? null,
      complete: isComplete,
    });
  try {
    await services.revocations.revoke(revocations);
  } catch (error) {
    record(false);
    throw error;
  }
  record(true);
  if (response.destroyed) return; // Who revokes himself still learns that it is done.
  const { issuer, credential, subject } = asked;
  const until = revocations[0]?.until ?? null;
  const bytes = Buffer.from(JSON.stringify({ issuer, credential, subject, at, until }));
  outcome.firstByteAt = performance.now();
  response.writeHead(201, jsonHead(guarded, {}, bytes.length));
  response.end(bytes);
}

function parseRequest(json: Readonly<Record<string, unknown>>): RevocationRequest {
  const parsed = request.safeParse(json);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const param = String(issue?.path[0] ?? (issue?.code === 'unrecognized_keys' ? issue.keys[0] : 'body'));
    throw invalid('a member is missing, unknown or not of its kind', param);
  }
  const { credential, subject } = parsed.data;
  if ((credential === undefined) === (subject === undefined))
    throw invalid('state either credential or subject', 'credential');
  if (credential !== undefined && looksLikeCredential.test(credential))
    throw invalid('credential is the id of a credential, never the credential itself', 'credential');
  if (parsed.data.expires_at !== undefined && subject !== undefined)
    throw invalid('expires_at goes with credential', 'expires_at');
  return parsed.data;
}

function revocationsFor(asked: RevocationRequest, { snapshot, services }: Guarded, at: number): Revocation[] {
  // A certificate may be valid for years.
  const certificates = (snapshot.clientCertificates ?? []).map(({ name, issuer }) => ({
    name,
    issuer,
    tenantId: null,
    credentialsMayLast: true,
  }));
  const accepted = [...snapshot.authentication.accepted, ...certificates].filter(({ name, issuer }) =>
    [name, issuer].includes(asked.issuer),
  );
  if (accepted.length === 0) throw invalid('no issuer of that name is accepted here', 'issuer');
  const { credential, subject, expires_at: expiresAt } = asked;
  if (expiresAt !== undefined && expiresAt + leewaySeconds <= at)
    throw invalid('it has expired', 'expires_at');
  return accepted.flatMap(({ issuer, tenantId, credentialsMayLast }): Revocation[] => {
    const rule = { issuer, at, until: credentialsMayLast ? null : at + services.revocations.keepSeconds };
    if (credential !== undefined)
      return [
        { ...rule, credential, ...(expiresAt === undefined ? {} : { until: expiresAt + leewaySeconds }) },
      ];
    // Entra's `sub` differs per application; its administrators know people by `oid`.
    const holders = [
      `${issuer} ${subject}`,
      ...(tenantId === null ? [] : [`entra:${tenantId} ${subject?.toLowerCase()}`]),
    ];
    return holders.map((holder) => ({ ...rule, holder }));
  });
}

function invalid(problem: string, param: string): GatewayError {
  return new GatewayError('body_invalid', {
    params: { problem },
    ...(/^\w{1,64}$/.test(param) ? { param } : {}),
  });
}
