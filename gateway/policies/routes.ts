// policies/routes.yaml: the only ways in. A request that matches no route is refused; no upstream can be reached
// except through one of these.
import { z } from 'zod';
import { surfaceOf, type Surface } from '../error-response.ts';

/** `openai`: the OpenAI wire format; `http`: any internal service, forwarded as it is; the others are answered by us. */
const routeKinds = ['openai', 'http', 'models', 'generate', 'revocations', 'decision', 'shadow'] as const;

/** One way in, compiled. */
export interface Route {
  /** Closed set, fit for metric labels: the key in routes.yaml. */
  readonly name: string;
  readonly kind: (typeof routeKinds)[number];
  /** Segments; `{model}` stands for one segment that names a model, `{id}` for one that names something else. */
  readonly path: string;
  readonly methods: ReadonlySet<string>;
  /** Dotted verb that a role must permit, e.g. `chat.completions.create`. */
  readonly action: string;
  /** Body shape of refusals: OpenAI's, or RFC 9457 problem+json. */
  readonly surface: Surface;
  /** Path at the upstream, e.g. `/v1/chat/completions`. */
  readonly upstreamPath: string;
  /** Name of the upstream for `kind: http`; for `openai` the model decides. */
  readonly upstream: string | null;
  readonly limits: readonly string[];
  readonly guards: readonly string[];
  /** Open to anybody: no credential is read, the caller is counted by address. */
  readonly anonymous: boolean;
  /** Accepts only access tokens that are bound to a key or certificate of the caller. */
  readonly requiresBoundToken: boolean;
  readonly maxBodyBytes: number;
}

/** A route and the model that the path names. */
export interface RouteMatch {
  readonly route: Route;
  readonly pathModel: string | null;
}

/** The compiled routes.yaml. */
export interface RouteTable {
  readonly routes: readonly Route[];
  /** The route for a normalised path and a method; `allowed` lists methods when only the method is wrong. */
  match(method: string, path: string): RouteMatch | { readonly allowed: readonly string[] } | null;
}

/** Segments that stand for others: a model anywhere, an id where an internal service is asked. */
const placeholders = ['{model}', '{id}'] as const;
/** What an id may be: nothing in it means anything in a path, query or file name. */
const idSegment = /^[A-Za-z0-9_-]{1,64}$/;

/** One placeholder that is a whole segment, no empty or dot segments: a path that a normalised target can equal. */
const isPath = (path: string): boolean =>
  path
    .slice(1)
    .split('/')
    .every(
      (segment, index, all) =>
        segment === '{model}' ||
        segment === '{id}' ||
        (!/[{}]/.test(segment) && !/^\.{1,2}$/.test(segment) && (segment !== '' || index === all.length - 1)),
    ) && path.split(/\{(?:model|id)\}/).length <= 2;

const route = z.strictObject({
  path: z
    .string()
    .regex(/^\/[A-Za-z0-9._~\-/{}]*$/, 'a path starts with / and has no query or encoding')
    .refine(isPath, 'a path has no empty or dot segments, and at most one segment that is {model} or {id}')
    .describe(
      'Path at the gateway; a segment `{model}` names the model; for `kind: http` a segment `{id}` is 1 to 64 letters, digits, `_` and `-`, handed on as they are.',
    ),
  methods: z
    .array(z.enum(['GET', 'POST', 'PUT', 'PATCH', 'DELETE']))
    .min(1)
    .describe('HTTP methods that the route answers.'),
  kind: z
    .enum(routeKinds)
    .describe(
      '`openai`: to the upstream of the model, body judged; `http`: to `upstream` as it is; `models`, `generate`, `revocations`, `shadow`: answered by the gateway; `decision`: answers other services (AuthZEN).',
    ),
  action: z
    .string()
    .regex(/^[a-z_]+(\.[a-z_]+)+$/, 'an action is a dotted verb such as chat.completions.create')
    .describe('What a role must permit.'),
  upstream: z
    .string()
    .optional()
    .describe('Name under `gateway.upstreams`; for `kind: http` only, elsewhere the model decides.'),
  upstream_path: z.string().startsWith('/').optional().describe('Path at the upstream; default: `path`.'),
  limits: z
    .array(z.string())
    .default([])
    .describe('Names in limits.yaml; each counts every request of the route.'),
  guards: z.array(z.string()).default([]).describe('Names in guards.yaml, in the order in which they run.'),
  anonymous: z
    .boolean()
    .default(false)
    .describe('Open to anybody: no credential is read and no role asked for. For `kind: http` only.'),
  require: z
    .enum(['sender_constrained'])
    .optional()
    .describe(
      '`sender_constrained`: only access tokens that are bound to a key or certificate of the caller (RFC 9449, RFC 8705).',
    ),
  max_body_bytes: z.int().min(1).max(16_777_216).default(1_048_576).describe('Longest request body.'),
});

/** The segment of a matched path that stands where its route has `{id}`. */
export function pathId(route: Pick<Route, 'path'>, path: string): string {
  const at = route.path.indexOf('{id}');
  return path.slice(at, path.length - (route.path.length - at - '{id}'.length));
}

/** Schema of policies/routes.yaml. */
export const routesSchema = z.strictObject({
  routes: z
    .record(
      z.string().regex(/^[a-z0-9._-]+$/, 'the name of a route is lower-case letters, digits and . _ -'),
      route,
    )
    .describe('Every way in, by name; the name is the label in metrics and audit records.'),
});
/** The parsed routes.yaml. */
export type RoutesPolicy = z.output<typeof routesSchema>;

/** Compiles the routes: exact paths in a map, paths with a placeholder by segment. */
export function compileRoutes(policy: RoutesPolicy): RouteTable {
  const routes = Object.entries(policy.routes).map(([name, entry]): Route => ({
    name,
    kind: entry.kind,
    path: entry.path,
    methods: new Set(entry.methods),
    action: entry.action,
    surface: surfaceOf(entry.path),
    upstreamPath: entry.upstream_path ?? entry.path,
    upstream: entry.upstream ?? null,
    limits: entry.limits,
    guards: entry.guards,
    anonymous: entry.anonymous,
    requiresBoundToken: entry.require === 'sender_constrained',
    maxBodyBytes: entry.max_body_bytes,
  }));
  const exact = new Map<string, Route[]>();
  const patterns: { route: Route; prefix: string; suffix: string; isModel: boolean }[] = [];
  for (const entry of routes) {
    const placeholder = placeholders.find((each) => entry.path.includes(each));
    if (placeholder === undefined) exact.set(entry.path, [...(exact.get(entry.path) ?? []), entry]);
    else {
      const [prefix = '', suffix = ''] = entry.path.split(placeholder);
      patterns.push({ route: entry, prefix, suffix, isModel: placeholder === '{model}' });
    }
  }
  return {
    routes,
    match(method, path) {
      const found: RouteMatch[] = (exact.get(path) ?? []).map((entry) => ({ route: entry, pathModel: null }));
      if (found.length === 0) {
        for (const { route: entry, prefix, suffix, isModel } of patterns) {
          if (!path.startsWith(prefix) || !path.endsWith(suffix)) continue;
          const segment = path.slice(prefix.length, path.length - suffix.length);
          if (segment === '' || segment.includes('/') || path.length < prefix.length + suffix.length)
            continue;
          if (isModel) found.push({ route: entry, pathModel: segment });
          else if (idSegment.test(segment)) found.push({ route: entry, pathModel: null });
        }
      }
      if (found.length === 0) return null;
      return (
        found.find((candidate) => candidate.route.methods.has(method)) ?? {
          allowed: [...new Set(found.flatMap((candidate) => [...candidate.route.methods]))],
        }
      );
    },
  };
}
