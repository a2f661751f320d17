// The reverse question: which role or principal may do what on which model, or on which resource of another service. Every
// cell is asked of the gateway's own decision.
import { decide } from '../../gateway/authorize/decide.ts';
import type { EvaluationRequest } from '../../gateway/authorize/evaluation.ts';
import { shownObligations, type ShownObligations } from '../../gateway/authorize/index.ts';
import { typeOf } from '../../gateway/authorize/patterns.ts';
import type { Principal } from '../../gateway/principal.ts';
import type { Snapshot } from '../../gateway/snapshot.ts';
import type { Bundle } from '../../gateway/policies/bundle.ts';

/** One permission: a model (null for actions about none), an action, and what decides. */
export interface Permission {
  readonly model: string | null;
  /** `document:42`, or a pattern of roles.yaml or rules.yaml, which stands for any resource that it means; else null. */
  readonly resource: string | null;
  readonly action: string;
  readonly decidedBy: string;
  /** What the permission is bound to, or null. */
  readonly obligations: ShownObligations | null;
}

/** A permission of a role. */
export interface AccessEntry extends Permission {
  readonly role: string;
}

/** When and from where the question is asked; rules over time and network answer for this moment. */
export interface AccessMoment {
  readonly now: number;
  readonly from: string;
}

/** Something that may be asked for, by anybody. */
export interface AccessQuestion extends Pick<Permission, 'model' | 'resource' | 'action'> {
  readonly request: (principal: Principal, moment: AccessMoment) => EvaluationRequest;
}

/** Every permission of a bundle's roles: on models and at the gateway, then on resources of other services. */
export function accessOf(bundle: Bundle, snapshot: Snapshot, moment: AccessMoment): AccessEntry[] {
  const [issuerName = ''] = Object.keys(bundle.issuers.issuers);
  return [ownQuestions(snapshot), foreignQuestions(bundle)].flatMap((questions) =>
    Object.keys(bundle.roles.roles).flatMap((role) =>
      permissionsOf(holderOf(role, issuerName), questions, { snapshot, moment }).map((permission) => ({
        role,
        ...permission,
      })),
    ),
  );
}

/** All that a bundle lets anybody ask for: at the gateway, then on the resources that access.yaml, roles and rules name. */
export function questionsOf(bundle: Bundle, snapshot: Snapshot): AccessQuestion[] {
  return [...ownQuestions(snapshot), ...foreignQuestions(bundle)];
}

/** Those of the questions that are permitted to a principal. */
export function permissionsOf(
  principal: Principal,
  questions: readonly AccessQuestion[],
  { snapshot, moment }: { readonly snapshot: Snapshot; readonly moment: AccessMoment },
): Permission[] {
  return questions.flatMap(({ request, ...asked }) => {
    const { decision, decidedBy, obligations } = decide(request(principal, moment), snapshot);
    if (decision !== 'permit') return [];
    // On a resource the asking service enforces; what obligations would bind is a request to a model.
    const binds = asked.resource === null && obligations !== null;
    return [
      { ...asked, decidedBy: decidedBy ?? '', obligations: binds ? shownObligations(obligations) : null },
    ];
  });
}

function ownQuestions(snapshot: Snapshot): AccessQuestion[] {
  const open = new Set(
    snapshot.routes.routes.filter((route) => route.anonymous).map((route) => route.action),
  );
  const routes = [...new Map(snapshot.routes.routes.map((route) => [route.action, route])).values()].filter(
    (route) => !open.has(route.action),
  );
  return routes.flatMap(({ kind, action, name }) => {
    const isAboutModels = kind === 'openai' || kind === 'generate';
    const models = isAboutModels ? [...snapshot.models.keys()] : [null];
    return models.map((model): AccessQuestion => ({
      model,
      resource: null,
      action,
      request: (principal, { now, from }) => ({
        subject: { type: 'principal', id: principal.key, properties: principal },
        action: { name: action },
        resource: model === null ? { type: 'gateway', id: '' } : { type: 'model', id: model },
        context: { now, callerAddress: from, route: name, body: model === null ? null : { model } },
      }),
    }));
  });
}

function foreignQuestions(bundle: Bundle): AccessQuestion[] {
  const named = [...Object.values(bundle.roles.roles), ...bundle.rules.rules].flatMap(
    ({ resources }) => resources ?? [],
  );
  return Object.entries(bundle.access.resource_types).flatMap(([type, { actions, resources }]) => {
    const ids = named
      .filter((pattern) => typeOf(pattern) === type)
      .map((pattern) => pattern.slice(type.length + 1));
    const known = new Map([...ids.map((id) => [id, {}] as const), ...Object.entries(resources)]);
    return [...known].flatMap(([id, properties]) =>
      actions.map((action): AccessQuestion => ({
        model: null,
        resource: `${type}:${id}`,
        action,
        request: (principal, { now, from }) => ({
          subject: { type: 'principal', id: principal.key, properties: principal },
          action: { name: action },
          resource: { type: 'foreign', id },
          context: { now, callerAddress: from, route: '', body: null },
          foreign: {
            subject: { type: 'principal', id: principal.subject, properties: {} },
            action: { name: action, properties: {} },
            resource: { type, id, properties },
            context: {},
          },
        }),
      })),
    );
  });
}

/** Somebody who holds one role and nothing else. */
export function holderOf(role: string | readonly string[], issuerName: string): Principal {
  return {
    issuerName,
    issuer: 'synthetic',
    subject: 'somebody',
    key: 'synthetic somebody',
    clientId: null,
    tenantId: null,
    roles: new Set(typeof role === 'string' ? [role] : role),
    groups: new Set(),
    scopes: new Set(),
    acr: null,
    amr: [],
    authTime: null,
    credential: { kind: 'none', id: null, issuedAt: null },
    binding: null,
    expiresAt: Number.POSITIVE_INFINITY,
    claims: {},
  };
}
