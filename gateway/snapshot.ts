// Everything a request is judged by, immutable: compiled policies and what they refer to. A request takes the current
// snapshot once at its start, so a reload in mid-request changes nothing for it.
import type { Access } from './access/compiled-access.ts';
import type { Authentication, BasicAuthentication, CertificateRule } from './authenticate/index.ts';
import type { Authorization, Relations, Rules } from './authorize/index.ts';
import type { Guards } from './guard/index.ts';
import type { Limits } from './limit/index.ts';
import type { RouteTable } from './policies/routes.ts';

/** One compiled bundle. */
export interface Snapshot {
  /** Rises by one with every swap. */
  readonly version: number;
  /** SHA-256 of the bundle's files, hex; every audit record names it. */
  readonly digest: string;
  readonly authentication: Authentication;
  /** Passwords of local accounts; null: none is a credential. */
  readonly basic: BasicAuthentication | null;
  /** Client certificates that are credentials, in their order; null: none is. */
  readonly clientCertificates: readonly CertificateRule[] | null;
  readonly authorization: Authorization;
  readonly rules: Rules;
  readonly relations: Relations;
  readonly limits: Limits;
  readonly guards: Guards;
  readonly routes: RouteTable;
  /** What other services may ask about. */
  readonly access: Access;
  /** Model id → name of the upstream that serves it, from the configuration. */
  readonly models: ReadonlyMap<string, string>;
}
