// Everything the documentation names exists: files, links and their anchors, npm scripts, commands with their flags, and
// configuration that is printed as an example is accepted.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, describe, it } from 'node:test';
import { parse, stringify } from 'yaml';
import { loadConfiguration } from '../../cli/compose.ts';
import { packageRoot } from '../../core/package.ts';

const base = mkdtempSync(join(tmpdir(), 'sallyport-prose-'));
after(() => rmSync(base, { recursive: true, force: true }));

const folders = [
  'core',
  'gateway',
  'identity',
  'model-server',
  'cli',
  'config',
  'policies',
  'models',
  'deploy',
  'docs',
  'examples',
  'bench',
  'scripts',
  'tests',
  'bin',
  'schemas',
];
const pages = [
  ...readdirSync(packageRoot).filter((name) => name.endsWith('.md')),
  ...readdirSync(join(packageRoot, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name)),
];
const read = (page: string): string => readFileSync(join(packageRoot, page), 'utf8');

/** Code in a page: fenced blocks and spans, each on one line. */
function codeLines(text: string): string[] {
  const blocks = [...text.matchAll(/^```[^\n]*\n([\s\S]*?)^```/gm)].flatMap((match) =>
    (match[1] ?? '').split('\n'),
  );
  const spans = [...text.replaceAll(/^```[\s\S]*?^```/gm, '').matchAll(/`([^`\n]+)`/g)].map(
    (match) => match[1] ?? '',
  );
  return [...blocks, ...spans];
}

/** As GitHub makes anchors of headings. */
function anchorsOf(text: string): Set<string> {
  const headings = [...text.matchAll(/^#{1,6} (.+)$/gm)].map((match) => match[1] ?? '');
  const named = [...text.matchAll(/<a (?:id|name)="([^"]+)"/g)].map((match) => match[1] ?? '');
  const slugs = headings.map((heading) =>
    heading
      .trim()
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(/\s/g, '-'),
  );
  return new Set([...slugs, ...named]);
}

const helpCache = new Map<string, string>();
function helpOf(words: readonly string[]): string {
  const key = words.join(' ');
  const known = helpCache.get(key);
  if (known !== undefined) return known;
  const { stdout } = spawnSync(process.execPath, [join(packageRoot, 'cli/main.ts'), ...words, '-h'], {
    encoding: 'utf8',
    env: { ...process.env, NO_COLOR: '1', COLUMNS: '200' },
  });
  helpCache.set(key, stdout);
  return stdout;
}
const commandsIn = (help: string): string[] =>
  [
    ...(/^Commands:\n([\s\S]*?)(?:\n\n|$(?![\s\S]))/m.exec(help)?.[1] ?? '').matchAll(
      /^ {2}([a-z][a-z-]*)/gm,
    ),
  ].map((match) => match[1] ?? '');

describe('documentation', () => {
  it('is there', () => {
    for (const page of [
      'README.md',
      'ARCHITECTURE.md',
      'CONTRIBUTING.md',
      'SECURITY.md',
      'CHANGELOG.md',
      'REVIEW.md',
      'docs/lifecycle.md',
    ]) {
      assert.ok(pages.includes(page), page);
    }
    assert.match(readFileSync(join(packageRoot, 'LICENSE'), 'utf8'), /Apache License\s+Version 2\.0/);
  });

  it('keeps the README within 120 lines and each decision within 40', () => {
    assert.ok(read('README.md').split('\n').length <= 121);
    for (const page of pages.filter((name) => name.startsWith('docs/decisions/')))
      assert.ok(read(page).split('\n').length <= 41, page);
  });

  for (const page of pages) {
    it(`${page}: every link leads somewhere`, () => {
      const text = read(page);
      for (const [, target = ''] of text.replaceAll(/^```[\s\S]*?^```/gm, '').matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^(https?:|mailto:)/.test(target)) continue;
        const [path = '', anchor] = target.split('#');
        const file = path === '' ? page : join(dirname(page), path);
        assert.ok(existsSync(join(packageRoot, file)), `${target} does not exist`);
        if (anchor !== undefined && file.endsWith('.md'))
          assert.ok(anchorsOf(read(file)).has(anchor), `${target}: no such heading`);
      }
    });

    it(`${page}: every file of the project that it names exists`, () => {
      const pattern = new RegExp(`(?<![\\w./:@-])(?:${folders.join('|')})/[\\w./*{},-]*[\\w/]`, 'g');
      for (const line of codeLines(read(page))) {
        if (/https?:\/\/|npm install|@/.test(line)) continue;
        for (const [path] of line.matchAll(pattern)) {
          if (/[*{},]/.test(path) || isMadeLater(path)) continue;
          assert.ok(existsSync(join(packageRoot, path)), `${path} in: ${line.trim()}`);
        }
      }
    });

    it(`${page}: every npm script and sallyport command that it names exists, with its flags`, () => {
      const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
      const programs = commandsIn(helpOf([]));
      assert.ok(programs.includes('login'), 'the help page lists the commands');
      for (const line of codeLines(read(page))) {
        for (const [, script = ''] of line.matchAll(/npm run ([a-z][\w:-]*)/g))
          assert.ok(script in scripts, `npm run ${script}`);
        for (const [, words = ''] of line.matchAll(
          /(?:^|[\s/;(`"])sallyport ((?:[a-z-][\w-]*[ ]?)+[^|;&#)`]*)/g,
        ))
          checkCommand(words.trim(), programs, line);
      }
    });

    it(`${page}: every configuration that it shows is accepted, laid over the shipped one`, () => {
      for (const [, block = ''] of read(page).matchAll(/^```yaml\n([\s\S]*?)^```/gm)) {
        const value: unknown = parse(block);
        if (typeof value !== 'object' || value === null) continue;
        if (!Object.keys(value).every((key) => ['gateway', 'identity', 'model_server'].includes(key)))
          continue;
        if (block.includes('…')) continue;
        const file = join(base, 'example.yaml');
        writeFileSync(file, stringify(laidOver(parse(read('config/sallyport.yaml')), value)));
        assert.doesNotThrow(() => loadConfiguration({ configFile: file }), block);
      }
    });
  }
});

/** A deep copy of `below` with the members of `above` in place of its own; lists are replaced. */
function laidOver(below: unknown, above: unknown): unknown {
  const isObject = (value: unknown): value is Record<string, unknown> =>
    typeof value === 'object' && value !== null && !Array.isArray(value);
  if (!isObject(below) || !isObject(above)) return above;
  const keys = new Set([...Object.keys(below), ...Object.keys(above)]);
  return Object.fromEntries(
    [...keys].map((key) => [key, key in above ? laidOver(below[key], above[key]) : below[key]]),
  );
}

/** Build results and what a reader makes himself. */
function isMadeLater(path: string): boolean {
  return (
    path.startsWith('deploy/secrets') ||
    /^models\/(?!tiny-gpt2)/.test(path) ||
    path.startsWith('policies/tests')
  );
}

function checkCommand(words: string, programs: readonly string[], line: string): void {
  const parts = words.split(/\s+/);
  const [name = ''] = parts;
  if (!/^[a-z][a-z-]*$/.test(name) || name === 'help') return;
  assert.ok(programs.includes(name), `sallyport ${name} in: ${line.trim()}`);
  const help = helpOf([name]);
  const second = parts[1] ?? '';
  const path = commandsIn(help).includes(second) ? [name, second] : [name];
  const flags = parts.filter((part) => part.startsWith('--')).map((part) => part.replace(/[=\],.:].*$/, ''));
  for (const flag of flags)
    assert.ok(helpOf(path).includes(flag), `${flag} of sallyport ${path.join(' ')} in: ${line.trim()}`);
}
