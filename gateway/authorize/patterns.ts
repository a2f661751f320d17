// The spellings that roles.yaml and rules.yaml share: names of roles, patterns of actions and of models.
import { z } from 'zod';

/** The name of a role. */
export const roleName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$/, 'a role is named by letters, digits and . _ : / -');

/** `admin.*` permits every action below `admin.`; `*` alone every action. */
export const actionPattern = z
  .string()
  .max(128)
  .regex(
    /^(\*|[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*(\.\*)?)$/,
    'an action is a dotted verb such as chat.completions.create, admin.* or *',
  );

/** An action on a resource of another service (access.yaml). */
export const actionName = z
  .string()
  .max(128)
  .regex(/^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/, 'an action is a word such as can_read, or words with dots');

/** A type of subjects or resources of other services. */
export const typeName = z
  .string()
  .regex(/^[A-Za-z][A-Za-z0-9._-]{0,63}$/, 'a type is named by letters, digits and . _ -');

/** `document:*` stands for every resource of the type `document`; the type is always written out. */
export const resourcePattern = z
  .string()
  .max(1_088)
  .regex(
    /^[A-Za-z][A-Za-z0-9._-]{0,63}:./,
    'resources are a type and an id, such as document:42 or document:*',
  );

/** The type that a resource pattern names. */
export function typeOf(pattern: string): string {
  return pattern.slice(0, pattern.indexOf(':'));
}

/** Compiles a resource pattern: the type is exact, in the id `*` stands for any run of characters. */
export function resourceMatcher(pattern: string): (resource: { type: string; id: string }) => boolean {
  const wanted = typeOf(pattern);
  const matches = modelMatcher(pattern.slice(wanted.length + 1));
  return ({ type, id }) => type === wanted && matches(id);
}

/** `premium-*` stands for every configured model that begins so. */
export const modelPattern = z
  .string()
  .regex(/^[A-Za-z0-9*][A-Za-z0-9*._:/-]{0,127}$/, 'a model is an id, or a pattern such as premium-* or *');

/** Whether an action pattern covers an action: equal, `*`, or `prefix.*`. */
export function matchesAction(pattern: string, action: string): boolean {
  if (pattern === '*') return true;
  return pattern.endsWith('.*') ? action.startsWith(pattern.slice(0, -1)) : pattern === action;
}

/** Compiles a model pattern: `*` stands for any run of characters; upper and lower case differ. */
export function modelMatcher(pattern: string): (model: string) => boolean {
  if (!pattern.includes('*')) return (model) => model === pattern;
  const [first = '', ...rest] = pattern.split('*');
  const last = rest.pop() ?? '';
  return (model) => {
    if (!model.startsWith(first) || !model.endsWith(last) || model.length < first.length + last.length)
      return false;
    let from = first.length;
    for (const piece of rest) {
      const found = model.indexOf(piece, from);
      if (found === -1 || found + piece.length > model.length - last.length) return false;
      from = found + piece.length;
    }
    return true;
  };
}
