// The spellings that roles.yaml and rules.yaml share: names of roles, patterns of actions and of models.
import { z } from 'zod';

/** The name of a role. */
export const roleName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$/, 'a role is named by letters, digits and . _ : / -');

/** `admin.*` permits every action below `admin.`; `*` alone every action. */
export const actionPattern = z
  .string()
  .regex(
    /^(\*|[a-z_]+(\.[a-z_]+)*(\.\*)?)$/,
    'an action is a dotted verb such as chat.completions.create, admin.* or *',
  );

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
