// Renders our own manual pages: headings, paragraphs, lists, code, tables, quotes, emphasis and links. Everything is
// escaped first; a link goes to http(s) or to a page of this manual.
import { escapeHtml } from './html.ts';

/** HTML of a page; `resolveLink` turns a link of the source into an address, or null to leave it out. */
export function renderMarkdown(source: string, resolveLink: (target: string) => string | null): string {
  const lines = source.replaceAll('\r\n', '\n').split('\n');
  const blocks: string[] = [];
  for (let at = 0; at < lines.length;) {
    const [block, next] = renderBlock(lines, at, (text) => inline(text, resolveLink));
    if (block !== '') blocks.push(block);
    at = next;
  }
  return blocks.join('\n');
}

/** The text of the first heading. */
export function markdownTitle(source: string): string | null {
  return /^# +(.+)$/m.exec(source)?.[1] ?? null;
}

type Inline = (text: string) => string;

function renderBlock(lines: readonly string[], at: number, text: Inline): [string, number] {
  const line = lines[at] ?? '';
  if (line.trim() === '') return ['', at + 1];
  if (line.startsWith('```')) return codeBlock(lines, at);
  const heading = /^(#{1,4}) +(.+)$/.exec(line);
  if (heading !== null) {
    const level = heading[1]?.length ?? 1;
    return [`<h${level}>${text(heading[2] ?? '')}</h${level}>`, at + 1];
  }
  if (line.startsWith('|') && /^\|[\s:|-]+\|$/.test((lines[at + 1] ?? '').trim()))
    return table(lines, at, text);
  if (isItem(line)) return list(lines, at, text);
  const end = endOf(
    lines,
    at,
    (next) => next.trim() !== '' && !next.startsWith('```') && !/^#{1,4} /.test(next) && !isItem(next),
  );
  const paragraph = lines.slice(at, end);
  if (line.startsWith('>')) {
    return [
      `<blockquote><p>${text(paragraph.map((part) => part.replace(/^> ?/, '')).join(' '))}</p></blockquote>`,
      end,
    ];
  }
  return [`<p>${text(paragraph.map((part) => part.trim()).join(' '))}</p>`, end];
}

function codeBlock(lines: readonly string[], at: number): [string, number] {
  const end = endOf(lines, at + 1, (line) => !line.startsWith('```'));
  return [`<pre tabindex="0"><code>${escapeHtml(lines.slice(at + 1, end).join('\n'))}</code></pre>`, end + 1];
}

function table(lines: readonly string[], at: number, text: Inline): [string, number] {
  const end = endOf(lines, at, (line) => line.startsWith('|'));
  const rows = lines.slice(at, end).map(cells);
  const row = (tag: string, columns: readonly string[]): string =>
    `<tr>${columns.map((cell) => `<${tag}${tag === 'th' ? ' scope="col"' : ''}>${text(cell)}</${tag}>`).join('')}</tr>`;
  const body = rows.slice(2).map((columns) => row('td', columns));
  const table = `<table><thead>${row('th', rows[0] ?? [])}</thead><tbody>${body.join('')}</tbody></table>`;
  // A wide table scrolls by itself, also by keyboard; the page does not.
  return [`<div class="table" tabindex="0">${table}</div>`, end];
}

function cells(line: string): string[] {
  return line
    .trim()
    .replaceAll(/^\||\|$/g, '')
    .split(/(?<!\\)\|/)
    .map((cell) => cell.trim().replaceAll('\\|', '|'));
}

function list(lines: readonly string[], at: number, text: Inline): [string, number] {
  const tag = /^\d/.test(lines[at] ?? '') ? 'ol' : 'ul';
  const items: string[] = [];
  let end = at;
  for (; end < lines.length; end++) {
    const line = lines[end] ?? '';
    if (isItem(line)) items.push(line.replace(/^([-*]|\d+\.) +/, ''));
    else if (/^\s+\S/.test(line)) items.push(`${items.pop() ?? ''} ${line.trim().replace(/^[-*] +/, '')}`);
    else break;
  }
  return [`<${tag}>${items.map((item) => `<li>${text(item)}</li>`).join('')}</${tag}>`, end];
}

function isItem(line: string): boolean {
  return /^([-*]|\d+\.) +\S/.test(line);
}

function endOf(lines: readonly string[], from: number, belongs: (line: string) => boolean): number {
  let end = from;
  while (end < lines.length && (end === from || belongs(lines[end] ?? ''))) end++;
  return end;
}

/** Links and code spans, whichever begins first; nothing inside a code span means anything. */
function inline(source: string, resolveLink: (target: string) => string | null): string {
  return source
    .split(/(\[[^\]]+\]\([^()\s]+\)|`[^`]+`)/)
    .map((part) => {
      if (/^`[^`]+`$/.test(part)) return `<code>${escapeHtml(part.slice(1, -1))}</code>`;
      const [, label, target] = /^\[([^\]]+)\]\(([^()\s]+)\)$/.exec(part) ?? [];
      if (label === undefined || target === undefined) return emphasis(part);
      const address = resolveLink(target);
      const text = inline(label, () => null);
      return address === null ? text : `<a href="${escapeHtml(address)}">${text}</a>`;
    })
    .join('');
}

function emphasis(source: string): string {
  return escapeHtml(source)
    .replaceAll(/\*\*([^*]+)\*\*/g, '<strong>$1</strong>')
    .replaceAll(/(?<![\w*])[*_]([^*_]+)[*_](?![\w*])/g, '<em>$1</em>');
}
