// Who is behind a credential, a person or an application, where the issuer draws that line (Entra). Shared by assignments
// and rules.
import { z } from 'zod';
import type { Principal } from '../principal.ts';

/** Schema of `identity_type`. */
export const identityTypeSchema = z
  .enum(['user', 'app', 'any'])
  .describe(
    'People (`user`), applications on their own behalf (`app`) or both (`any`), where the issuer tells them apart (Entra). Where client applications alone are named, the default is `app`: whoever signs in through a client is not the client.',
  );
/** `implied` is what holds where nothing is said and a client alone is named. */
export type IdentityTypeDemand = z.output<typeof identityTypeSchema> | 'implied';

/** What holds where nothing is said: a client alone stands for the application itself. */
export function impliedIdentityType(named: {
  readonly clients: readonly string[] | undefined;
  /** Whether more is asked of the principal than its client. */
  readonly isNarrowed: boolean;
}): IdentityTypeDemand {
  return named.clients === undefined || named.isNarrowed ? 'any' : 'implied';
}

/** Whether a principal is what is asked for; one that is unproven is neither person nor application. */
export function isIdentityType(demand: IdentityTypeDemand, { identityType }: Principal): boolean {
  if (demand === 'any') return true;
  // An issuer that draws no such line leaves it to the operator whom its clients stand for.
  if (demand === 'implied') return identityType === undefined || identityType === 'app';
  return identityType === demand;
}
