// The reverse question: which role may do what on which model, or on which resource of another service. Every cell is asked of the gateway's own decision.
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
  /** `document:42`, or a pattern of roles.yaml or rules.yaml, which stands for any resource that it means; else null. */
  readonly resource: string | null;
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

/** Every permission of a bundle: on models and at the gateway, then on resources of other services. */
export function accessOf(bundle: Bundle, snapshot: Snapshot, moment: AccessMoment): AccessEntry[] {
  return [...ownAccess(bundle, snapshot, moment), ...resourceAccess(bundle, snapshot, moment)];
}

/** By role, model and action in their order. */
function ownAccess(bundle: Bundle, snapshot: Snapshot, moment: AccessMoment): AccessEntry[] {
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
                resource: null,
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

/** On the resources of access.yaml, and on what roles and rules name. */
function resourceAccess(bundle: Bundle, snapshot: Snapshot, moment: AccessMoment): AccessEntry[] {
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
      const { decision, decidedBy } = decide(
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
      if (decision !== 'permit') return [];
      const shown = `${resource.type}:${resource.id}`;
      // The asking service enforces; what obligations would bind is a request to a model.
      return [{ role, model: null, resource: shown, action, decidedBy: decidedBy ?? '', obligations: null }];
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
