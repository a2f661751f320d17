// The manual: the Markdown files under docs/, found once at start. A path from a request only ever selects one of the
// names found, it never becomes a file name.
import { readFileSync, readdirSync } from 'node:fs';
import { join, posix } from 'node:path';
import { errorCatalogue, GatewayError, type ErrorCode } from '../../core/errors.ts';
import { packageRoot } from '../../core/package.ts';
import { Html, html } from './html.ts';
import { markdownTitle, renderMarkdown } from './markdown.ts';
import { page } from './page.ts';

/** A page in both forms. */
export interface ManualPage {
  readonly title: string;
  readonly markdown: string;
  /** A whole HTML page. */
  readonly html: string;
}

/** The pages under docs/, and one for each code of the catalogue. */
export interface Manual {
  /** By path without `.md`, e.g. `reference/limits`, `errors/rate_limit_exceeded`, `contents`, `errors`. */
  find(path: string): ManualPage | null;
  /** The HTML page for a path that has none. */
  readonly missing: string;
}

/** Finds the pages in a folder; `docs/` of the package when none is given. */
export function createManual(folder = join(packageRoot, 'docs')): Manual {
  const names = new Set(listPages(folder));
  const known = new Map<string, ManualPage>();
  const find = (path: string): ManualPage | null => {
    const cached = known.get(path);
    if (cached !== undefined) return cached;
    const markdown = readPage(folder, path, names);
    if (markdown === null) return null;
    const found = asPage(path, markdown, names);
    known.set(path, found);
    return found;
  };
  const missing = page({
    title: 'No such page · Sallyport',
    body: html`<h1>There is no such page</h1>
      <p><a href="/docs/contents">All pages of the manual</a></p>`,
  });
  return { find, missing };
}

function listPages(folder: string): string[] {
  try {
    return readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.md'))
      .map((name) => name.slice(0, -'.md'.length).replaceAll('\\', '/'))
      .sort();
  } catch {
    return []; // A package without docs/ still explains its codes from the catalogue.
  }
}

function readPage(folder: string, path: string, names: ReadonlySet<string>): string | null {
  if (names.has(path)) return readFileSync(join(folder, `${path}.md`), 'utf8');
  if (path === 'contents') return contents(folder, names);
  if (path === 'errors') return errorTable();
  const code = path.startsWith('errors/') ? path.slice('errors/'.length) : '';
  return Object.hasOwn(errorCatalogue, code) ? errorPage(code as ErrorCode) : null; // A known key, just checked.
}

function contents(folder: string, names: ReadonlySet<string>): string {
  const lines = ['# Docs', ''];
  let section = '';
  // Pages that lie in no folder come first: below, they would look like a part of the folder before them.
  const ordered = [...names].sort((one, other) => Number(one.includes('/')) - Number(other.includes('/')));
  for (const name of ordered) {
    if (name.startsWith('errors/') || name.startsWith('decisions/')) continue;
    const parent = posix.dirname(name);
    if (parent !== section) {
      section = parent;
      if (parent !== '.')
        lines.push('', `## ${parent.charAt(0).toUpperCase()}${parent.slice(1).replaceAll('-', ' ')}`, '');
    }
    lines.push(`- [${markdownTitle(readFileSync(join(folder, `${name}.md`), 'utf8')) ?? name}](${name}.md)`);
  }
  lines.push('', '## Errors', '', '- [Every error code](errors.md)', '');
  return lines.join('\n');
}

function errorTable(): string {
  const rows = Object.entries(errorCatalogue).map(
    ([code, { status, message }]) => `| [${code}](errors/${code}.md) | ${status} | ${message} |`,
  );
  return ['# Errors', '', '| code | status | what it says |', '|---|---|---|', ...rows, ''].join('\n');
}

function errorPage(code: ErrorCode): string {
  const { status, retryable } = new GatewayError(code).definition;
  const retry = retryable ? 'The same request may succeed later.' : 'The same request will be refused again.';
  return `# ${code}\n\nStatus ${status}. ${errorCatalogue[code].message}\n\n${retry}\n`;
}

function asPage(path: string, markdown: string, names: ReadonlySet<string>): ManualPage {
  const title = markdownTitle(markdown) ?? path;
  const body = new Html(renderMarkdown(markdown, (target) => resolveLink(path, target, names)));
  return { title, markdown, html: page({ title: `${title} · Sallyport`, body: html`${body}` }) };
}

/** Links between pages work as they do on disk; anything else that is not http(s) is plain text. */
function resolveLink(from: string, target: string, names: ReadonlySet<string>): string | null {
  if (/^https?:\/\//.test(target)) return target;
  const [file = '', fragment] = target.split('#', 2);
  if (file === '') return fragment === undefined ? null : `#${encodeURIComponent(fragment)}`;
  if (!/(\.md|\/)$/.test(file)) return null;
  const name = posix.normalize(posix.join(posix.dirname(from), file)).replace(/(\.md|\/)$/, '');
  const isPage =
    names.has(name) || name === 'errors' || Object.hasOwn(errorCatalogue, name.replace(/^errors\//, ''));
  return isPage ? `/docs/${name}` : null;
}
