// Compiles a bundle into the immutable snapshot that requests are judged by.
import { compileAccess } from '../access/compiled-access.ts';
import {
  compileBasic,
  compileCertificates,
  compileIssuers,
  createStatedClaimsJudge,
  type AuthenticationDeps,
} from '../authenticate/index.ts';
import { compileRelations, compileRoles, compileRules, type RelationEngine } from '../authorize/index.ts';
import { compileGuards } from '../guard/index.ts';
import { compileLimits } from '../limit/limits-policy.ts';
import type { Snapshot } from '../snapshot.ts';
import type { Bundle } from './bundle.ts';
import { issuerNames } from './certificate-faults.ts';
import type { PolicyContext } from './context.ts';
import { compileRoutes } from './routes.ts';

/** What a bundle is compiled with. */
export interface SnapshotDeps {
  readonly version: number;
  readonly context: PolicyContext;
  /** What the issuers need; `previous` hands their keys over from the snapshot in use. */
  readonly authentication: AuthenticationDeps;
  /** Who holds the relationships; absent: relations.yaml says all there is. */
  readonly relations?: RelationEngine;
}

/** Compiles a bundle; the issuers' schedules are started by whoever puts the snapshot into use. */
export function buildSnapshot(
  bundle: Bundle,
  { version, context, authentication, relations }: SnapshotDeps,
): Snapshot {
  const routes = compileRoutes(bundle.routes);
  const judgeStatedClaims = createStatedClaimsJudge(bundle.issuers, context.embeddedIssuer);
  return {
    version,
    digest: bundle.digest,
    authentication: compileIssuers(bundle.issuers, authentication),
    basic: compileBasic(bundle.issuers, authentication, context.clientCertificates === 'proxy'),
    clientCertificates: compileCertificates(bundle.issuers.client_certificates),
    authorization: compileRoles(bundle.roles, [...context.models.keys()], bundle.lines.roles),
    rules: compileRules(bundle.rules, bundle.lines.rules, context.modelAttributes),
    relations: compileRelations(bundle.relations, {
      issuers: issuerNames(bundle.issuers),
      ...(relations === undefined ? {} : { engine: relations }),
    }),
    limits: compileLimits(bundle.limits),
    guards: compileGuards(bundle.guards),
    routes,
    access: compileAccess(bundle.access, { routes: routes.routes, judgeStatedClaims }),
    models: context.models,
  };
}
