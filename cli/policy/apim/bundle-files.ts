// The files of an imported bundle: issuers, rules and limits from the document, routes of the models from the shipped
// policies, and tests that show what the import permits.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { packageRoot } from '../../../core/package.ts';
import type { Entry, Imported } from './imported.ts';

/** The routes that speak to models, as they ship; the document's policies hold for these. */
interface ShippedRoute {
  readonly kind: string;
  readonly action: string;
}

const permitRule = 'imported-callers';

/** File name → text. `source` is the name of the document, for the comments. */
export function bundleFiles(imported: Imported, source: string): ReadonlyMap<string, string> {
  const routes = modelRoutes([...imported.limits.keys()]);
  const actions = [...new Set(Object.values(routes).map((route) => route['action'] as string))]; // As the shipped file has them.
  return new Map([
    [
      'issuers.yaml',
      file(`Whose tokens are accepted: from ${source}.`, { issuers: Object.fromEntries(imported.issuers) }),
    ],
    [
      'roles.yaml',
      file(
        'The document knows no roles: rules.yaml permits every accepted token. Give roles instead, and delete that rule.',
        {
          roles: {},
        },
      ),
    ],
    [
      'rules.yaml',
      file(`Deny rules overrule the permit: from ${source}.`, {
        rules: [
          {
            name: permitRule,
            description: 'Whoever has an accepted token may use every model, as in the document.',
            effect: 'permit',
            actions,
            issuers: [...imported.issuers.keys()],
          },
          ...imported.rules,
        ],
      }),
    ],
    ['limits.yaml', file(`From ${source}.`, { limits: Object.fromEntries(imported.limits) })],
    ['guards.yaml', file('The document has no guards that could be imported.', { guards: {} })],
    [
      'routes.yaml',
      file('The routes of the models, as they ship, with the limits of the document.', { routes }),
    ],
    ['tests/imported.yaml', file(`What the import of ${source} permits and refuses.`, tests(imported))],
  ]);
}

function file(comment: string, content: unknown): string {
  const text = stringify(content, { lineWidth: 0, singleQuote: true });
  return `# ${comment}\n${text}`;
}

function modelRoutes(limits: readonly string[]): Record<string, Entry> {
  const shipped = parse(readFileSync(join(packageRoot, 'policies', 'routes.yaml'), 'utf8')) as {
    readonly routes: Readonly<Record<string, ShippedRoute>>; // A file of ours.
  };
  const entries = Object.entries(shipped.routes).filter(
    ([, { kind }]) => kind === 'openai' || kind === 'models',
  );
  return Object.fromEntries(entries.map(([name, route]) => [name, { ...route, limits, guards: [] }]));
}

function tests({ issuers, sampleClaims, sampleRequest }: Imported): readonly Entry[] {
  const { from, headers } = sampleRequest;
  const request = {
    do: 'models.list',
    ...(from === null ? {} : { from }),
    ...(Object.keys(headers).length === 0 ? {} : { headers }),
  };
  const cases = [...issuers].flatMap(([issuer, entry]): Entry[] => {
    const claims = sampleClaims.get(issuer) ?? {};
    const as = bearerOf(issuer, entry, claims);
    const refused = { ...request, as, expect: 'deny' };
    return [
      {
        ...request,
        name: `a token of ${issuer} is permitted`,
        as,
        expect: 'permit',
        by: `rules.${permitRule}`,
      },
      ...Object.keys(claims).map((claim) => ({
        ...refused,
        name: `a token of ${issuer} without ${claim} is refused`,
        as: withoutClaim(as, claim),
      })),
      ...(from === null
        ? []
        : [{ ...refused, name: `a token of ${issuer} from another address is refused`, from: elsewhere }]),
      ...Object.keys(headers).map((field) => ({
        ...refused,
        name: `a token of ${issuer} without the header ${field} is refused`,
        headers: Object.fromEntries(Object.entries(headers).filter(([name]) => name !== field)),
      })),
    ];
  });
  return [
    {
      name: 'nobody is let in without a token',
      as: 'nobody',
      do: 'models.list',
      expect: 'missing_credentials',
    },
    ...cases,
  ];
}

/** An address for documentation (RFC 5737), which nobody calls from. */
const elsewhere = '192.0.2.1';

/** A good token of an entry; other issuers than Entra accept every client. */
function bearerOf(issuer: string, entry: Entry, claims: Entry): Entry {
  const given = Object.keys(claims).length === 0 ? {} : { with: claims };
  if (Object.hasOwn(entry, 'entra')) {
    const { versions } = entry['entra'] as { readonly versions: readonly string[] }; // As the converters write it.
    return { [versions.includes('2.0') ? 'entra-v2' : 'entra-v1']: { issuer, ...given } };
  }
  const isOpen = !Array.isArray(entry['client_ids']);
  return { issuer, ...(isOpen ? { client_id: 'any-client' } : {}), ...given };
}

function withoutClaim(as: Entry, claim: string): Entry {
  const change = (bearer: Entry): Entry => ({
    ...bearer,
    with: { ...(bearer['with'] as Entry), [claim]: null },
  }); // As made above.
  return Object.hasOwn(as, 'with')
    ? change(as)
    : Object.fromEntries(Object.entries(as).map(([kind, bearer]) => [kind, change(bearer as Entry)])); // The one kind.
}
