// Errors of the account routes: RFC 9457 problem+json whose `detail` is the sentence a person reads.
import type { Response } from 'express';

export interface AccountProblem {
  readonly status: number;
  /** Stable word for programs. */
  readonly code: string;
  readonly detail: string;
  /** Further members, e.g. OAuth's `error`. */
  readonly members?: Readonly<Record<string, string>>;
  readonly retryAfterSeconds?: number;
}

/** Sends a problem; every 401 carries a challenge. */
export function sendProblem(response: Response, problem: AccountProblem): void {
  if (problem.status === 401) response.set('www-authenticate', 'Bearer realm="sallyport"'); // RFC 9110 §15.5.2: a 401 carries a challenge.
  if (problem.retryAfterSeconds !== undefined) response.set('retry-after', String(problem.retryAfterSeconds));
  response
    .status(problem.status)
    .type('application/problem+json')
    .send(
      JSON.stringify({
        type: `urn:sallyport:error:${problem.code}`,
        title: problem.code.replaceAll('_', ' '),
        status: problem.status,
        detail: problem.detail,
        code: problem.code,
        ...problem.members,
      }),
    );
}
