// Every condition of a rule, in the order in which they are tested: what is settled once comes first, the dearest last.
import type { z } from 'zod';
import { impliedIdentityType, isIdentityType } from '../identity-type.ts';
import type { RuleEntry } from '../rules-policy.ts';
import { actions } from './actions.ts';
import { clients } from './clients.ts';
import type { Condition, Surroundings, Test } from './condition.ts';
import { identityTypes } from './identity-type.ts';
import { issuers } from './issuers.ts';
import { models } from './models.ts';
import { networks } from './network.ts';
import { requireSignIn } from './require.ts';
import { resources } from './resources.ts';
import { roles } from './roles.ts';
import { scopes } from './scopes.ts';
import { time } from './time.ts';
import { when } from './when.ts';

/** The conditions in order; `require` is judged last and apart (decide.ts). */
export const conditions = [
  actions,
  models,
  resources,
  issuers,
  clients,
  identityTypes,
  roles,
  scopes,
  networks,
  time,
  when,
  requireSignIn,
] as const;

/** One condition of one rule, compiled. */
export interface PreparedCondition {
  readonly name: string;
  readonly codes: readonly [matched: string, notMatched: string];
  readonly settled: boolean;
  readonly test: Test;
}

/** The conditions that a rule states, except `require`, in order. */
export function prepareConditions(
  entry: RuleEntry,
  surroundings: Surroundings,
): readonly PreparedCondition[] {
  return [
    prepare(actions, entry.actions, surroundings),
    prepare(models, entry.models, surroundings),
    prepare(resources, entry.resources, surroundings),
    prepare(issuers, entry.issuers, surroundings),
    prepare(clients, entry.clients, surroundings),
    prepare(identityTypes, entry.identity_type, surroundings),
    ...impliedConditions(entry),
    prepare(roles, entry.roles, surroundings),
    prepare(scopes, entry.scopes, surroundings),
    prepare(networks, entry.network, surroundings),
    prepare(time, entry.time, surroundings),
    prepare(when, entry.when, surroundings),
  ].flatMap((prepared) => prepared ?? []);
}

/** The `require` of a rule, or null. */
export function prepareRequire(entry: RuleEntry, surroundings: Surroundings): PreparedCondition | null {
  return prepare(requireSignIn, entry.require, surroundings);
}

/** A permit rule that asks for a client and for nothing else of the principal is about the application itself. */
function impliedConditions(entry: RuleEntry): PreparedCondition[] {
  const isNarrowed = (entry.roles ?? entry.scopes ?? entry.when ?? entry.identity_type) !== undefined;
  const demand = impliedIdentityType({ clients: entry.clients, isNarrowed });
  if (entry.effect !== 'permit' || demand === 'any') return [];
  const { name, codes, settled } = identityTypes;
  return [{ name, codes, settled, test: ({ principal }) => isIdentityType(demand, principal) }];
}

function prepare<Schema extends z.ZodType>(
  condition: Condition<Schema>,
  value: z.output<Schema> | undefined,
  surroundings: Surroundings,
): PreparedCondition | null {
  if (value === undefined) return null;
  const { name, codes, settled } = condition;
  return { name, codes, settled, test: condition.compile(value, surroundings) };
}
