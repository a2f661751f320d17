// The reverse question: which role may do what on which model. Every cell is asked of the gateway's own decision.
import { decide } from '../../gateway/authorize/decide.ts';
import { shownObligations, type ShownObligations } from '../../gateway/authorize/index.ts';
import { typeOf } from '../../gateway/authorize/patterns.ts';
import type { Principal } from '../../gateway/principal.ts';
import type { Snapshot } from '../../gateway/snapshot.ts';
import type { Bundle } from '../../gateway/policies/bundle.ts';

/** One permission: a role, a model (null for actions about none), an action, and what decides. */
export interface AccessEntry {
  readonly role: string;
  readonly model: string | null;
  readonly action: string;
  readonly decidedBy: string;
  /** What the permission is bound to, or null. */
  readonly obligations: ShownObligations | null;
}

/** When and from where the question is asked; rules over time and network answer for this moment. */
export interface AccessMoment {
  readonly now: number;
  readonly from: string;
}

/** Every permission of a bundle, by role, model and action in their order. */
export function accessOf(bundle: Bundle, snapshot: Snapshot, moment: AccessMoment): AccessEntry[] {
  const open = new Set(
    snapshot.routes.routes.filter((route) => route.anonymous).map((route) => route.action),
  );
  const routes = [...new Map(snapshot.routes.routes.map((route) => [route.action, route])).values()].filter(
    (route) => !open.has(route.action),
  );
  const [issuerName = ''] = Object.keys(bundle.issuers.issuers);
  return Object.keys(bundle.roles.roles).flatMap((role) => {
    const principal = holderOf(role, issuerName);
    return routes.flatMap((route) => {
      const isAboutModels = route.kind === 'openai' || route.kind === 'generate';
      const models = isAboutModels ? [...snapshot.models.keys()] : [null];
      return models.flatMap((model) => {
        const { decision, decidedBy, obligations } = decide(
          {
            subject: { type: 'principal', id: principal.key, properties: principal },
            action: { name: route.action },
            resource: model === null ? { type: 'gateway', id: '' } : { type: 'model', id: model },
            context: {
              now: moment.now,
              callerAddress: moment.from,
              route: route.name,
              body: model === null ? null : { model },
            },
          },
          snapshot,
        );
        return decision === 'permit'
          ? [
              {
                role,
                model,
                action: route.action,
                decidedBy: decidedBy ?? '',
                obligations: obligations === null ? null : shownObligations(obligations),
              },
            ]
          : [];
      });
    });
  });
}

/** One permission on resources of other services: a role, a resource or a pattern of them, an action. */
export interface ResourceAccess {
  readonly role: string;
  /** `document:42`, or a pattern of roles.yaml or rules.yaml, which stands for any resource that it means. */
  readonly resource: string;
  readonly action: string;
}

/** Every permission on resources of other services: those of access.yaml, and what roles and rules name. */
export function resourceAccessOf(bundle: Bundle, snapshot: Snapshot, moment: AccessMoment): ResourceAccess[] {
  const [issuerName = ''] = Object.keys(bundle.issuers.issuers);
  const named = [...Object.values(bundle.roles.roles), ...bundle.rules.rules].flatMap(
    ({ resources }) => resources ?? [],
  );
  const questions = Object.entries(bundle.access.resource_types).flatMap(([type, { actions, resources }]) => {
    const ids = named
      .filter((pattern) => typeOf(pattern) === type)
      .map((pattern) => pattern.slice(type.length + 1));
    const known = new Map([...ids.map((id) => [id, {}] as const), ...Object.entries(resources)]);
    return [...known].flatMap(([id, properties]) =>
      actions.map((action) => ({ type, id, properties, action })),
    );
  });
  return Object.keys(bundle.roles.roles).flatMap((role) => {
    const principal = holderOf(role, issuerName);
    return questions.flatMap(({ action, ...resource }) => {
      const { decision } = decide(
        {
          subject: { type: 'principal', id: principal.key, properties: principal },
          action: { name: action },
          resource: { type: 'foreign', id: resource.id },
          context: { now: moment.now, callerAddress: moment.from, route: '', body: null },
          foreign: {
            subject: { type: 'principal', id: principal.subject, properties: {} },
            action: { name: action, properties: {} },
            resource,
            context: {},
          },
        },
        snapshot,
      );
      return decision === 'permit' ? [{ role, resource: `${resource.type}:${resource.id}`, action }] : [];
    });
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
