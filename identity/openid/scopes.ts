// The scopes that clients may ask for, what they mean to a person, and how they appear in tokens.
import { errors } from 'oidc-provider';
import { resource } from '../config.ts';

/** Scopes of the resource; `.default` is how Microsoft's clients ask for whatever was granted. */
export const resourceScopes = { access: `${resource}/LLM.Access`, default: `${resource}/.default` } as const;

/** Scopes of OpenID Connect itself. */
export const openIdScopes = ['openid', 'offline_access', 'profile', 'email'] as const;

const known: ReadonlySet<string> = new Set([...openIdScopes, ...Object.values(resourceScopes)]);

/** Splits the wire form. */
export function parseScopes(scope: unknown): string[] {
  return typeof scope === 'string' ? scope.split(' ').filter((name) => name !== '') : [];
}

/** Refuses a scope that nobody knows instead of dropping it in silence. @throws InvalidScope */
export function assertKnownScopes(scope: unknown): void {
  const unknown = parseScopes(scope).find((name) => !known.has(name));
  // RFC 6749 §3.3: an unknown scope is refused as invalid_scope.
  if (unknown !== undefined) throw new errors.InvalidScope('requested scope is not known', unknown);
}

/** Whether any of the scopes is one of the resource. */
export function asksForResource(scope: unknown): boolean {
  return parseScopes(scope).some((name) => name.startsWith(`${resource}/`));
}

/** `scp` of an access token: bare permission names, as Entra writes them. */
export function scpClaim(scope: unknown): string {
  const names = parseScopes(scope)
    .filter((name) => name.startsWith(`${resource}/`))
    .map((name) => (name === resourceScopes.default ? 'LLM.Access' : name.slice(resource.length + 1)));
  return [...new Set(names)].join(' ');
}

const sentences: Readonly<Record<string, string>> = {
  [resourceScopes.access]: 'Use the language models of this gateway in your name',
  [resourceScopes.default]: 'Use the language models of this gateway in your name',
  offline_access: 'Stay signed in until you sign out',
  profile: 'Read your name, username, roles and groups',
  email: 'Read your e-mail address',
};

/** What the scopes permit, in sentences for a person, the weightiest first. */
export function describeScopes(scope: unknown): string[] {
  const asked = new Set(parseScopes(scope));
  return [
    ...new Set(Object.entries(sentences).flatMap(([name, sentence]) => (asked.has(name) ? [sentence] : []))),
  ];
}
