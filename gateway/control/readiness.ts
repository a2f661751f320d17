// Is the gateway ready, dependency by dependency. Asked by load balancers and by the home page, so the answer is kept
// for a moment: a flood of questions probes nothing more often.
import type { ControlDependencies } from './control-dependencies.ts';

/** One dependency. */
export interface ReadinessCheck {
  /** `issuer`, `introspection`, `upstream`, `relations`, `decision_point`, `revocations`, `limit_store`, `audit_log`, `policies`, `gateway`. */
  readonly kind: string;
  readonly name: string;
  readonly ready: boolean;
  /** Why not, without addresses or secrets; null when ready. */
  readonly problem: string | null;
}

/** `degraded` still serves: another issuer or upstream does, or the earlier policies are in use. */
export interface Readiness {
  readonly status: 'ready' | 'degraded' | 'not_ready';
  readonly checks: readonly ReadinessCheck[];
}

const maxAgeMs = 1_000;

/** Creates the question; `detail` is for the internal listener and may quote policy files. */
export function createReadiness(deps: ControlDependencies): (detail: boolean) => Promise<Readiness> {
  let asked: { at: number; upstreams: Promise<readonly ReadinessCheck[]> } | null = null;
  const upstreamChecks = (): Promise<readonly ReadinessCheck[]> => {
    if (asked === null || performance.now() - asked.at > maxAgeMs) {
      asked = { at: performance.now(), upstreams: probeUpstreams(deps) };
    }
    return asked.upstreams;
  };
  return async (detail) => {
    const issuers = deps.current().authentication.status();
    const checks: ReadinessCheck[] = [
      ...issuers.map(({ name, ready, problem }) => ({ kind: 'issuer', name, ready, problem })),
      ...issuers.flatMap(({ name, introspectionProblem: problem }) =>
        problem === undefined ? [] : [check('introspection', name, problem)],
      ),
      ...(await upstreamChecks()),
      ...outsideChecks(deps),
      ...deps.services.revocations.status().map(({ name, problem }) => check('revocations', name, problem)),
      check('limit_store', deps.services.limitStore.kind, deps.services.limitStore.problem()),
      check('audit_log', 'audit', deps.services.auditLog.problem()),
      check('policies', 'bundle', policiesProblem(deps, detail)),
      check('gateway', 'process', deps.isStopping() ? 'the gateway is stopping' : null),
    ];
    return { status: statusOf(deps, checks), checks };
  };
}

/** Who is asked beside the policies; while one does not answer, what does not concern it goes on. */
function outsideChecks({ services, current }: ControlDependencies): ReadinessCheck[] {
  const { relationStore, decisionPoint } = services;
  // Nobody misses relations that no rule asks for.
  const identityTuples = current().rules.asksRelations ? services.identityTuples : null;
  return [
    ...(identityTuples === null ? [] : [check('relations', 'identity', identityTuples.problem())]),
    ...(relationStore === null ? [] : [check('relations', 'openfga', relationStore.problem())]),
    ...(decisionPoint === null ? [] : [check('decision_point', 'authzen', decisionPoint.problem())]),
  ];
}

function check(kind: string, name: string, problem: string | null): ReadinessCheck {
  return { kind, name, ready: problem === null, problem };
}

async function probeUpstreams(deps: ControlDependencies): Promise<readonly ReadinessCheck[]> {
  try {
    const statuses = await deps.services.upstreams.status();
    return statuses.map(({ name, ready, problem }) => ({ kind: 'upstream', name, ready, problem }));
  } catch {
    return [check('upstream', 'all', 'the upstreams could not be asked')];
  }
}

// The text names files and keys of the policies: not for anybody.
function policiesProblem(deps: ControlDependencies, detail: boolean): string | null {
  const problem = deps.policiesProblem();
  if (problem === null || detail) return problem;
  return 'the policies last saved are invalid or fail their tests; the earlier ones are in use';
}

function statusOf(deps: ControlDependencies, checks: readonly ReadinessCheck[]): Readiness['status'] {
  const servesModels = new Set(deps.current().models.values());
  const issuers = checks.filter(({ kind }) => kind === 'issuer');
  const upstreams = checks.filter(
    ({ kind, name }) => kind === 'upstream' && (servesModels.size === 0 || servesModels.has(name)),
  );
  const essential = checks.filter(({ kind }) => ['limit_store', 'audit_log', 'gateway'].includes(kind));
  const some = (group: readonly ReadinessCheck[]): boolean =>
    group.length === 0 || group.some(({ ready }) => ready);
  if (!some(issuers) || !some(upstreams) || !essential.every(({ ready }) => ready)) return 'not_ready';
  return checks.every(({ ready }) => ready) ? 'ready' : 'degraded';
}
