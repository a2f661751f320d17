// The import direction, as a test: core ← stages ← pipeline ← endpoints and server; the servers never import each other.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { describe, it } from 'node:test';
import ts from 'typescript';
import { packageRoot } from '../../core/package.ts';

const folders = ['core', 'gateway', 'identity', 'model-server', 'cli'] as const;
type Folder = (typeof folders)[number];

interface Import {
  readonly from: string;
  readonly to: string;
  /** Erased when the code runs. */
  readonly isType: boolean;
}

const files = folders.flatMap((folder) =>
  readdirSync(join(packageRoot, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(folder, name)),
);
const imports = files.flatMap(importsOf);

/** Relative imports of a file, dynamic ones included, as paths from the root. */
function importsOf(file: string): Import[] {
  const source = ts.createSourceFile(
    file,
    readFileSync(join(packageRoot, file), 'utf8'),
    ts.ScriptTarget.Latest,
    false,
  );
  const found: Import[] = [];
  const add = (specifier: ts.Node | undefined, isType: boolean): void => {
    if (specifier === undefined || !ts.isStringLiteral(specifier) || !specifier.text.startsWith('.')) return;
    found.push({
      from: file,
      to: relative(packageRoot, join(packageRoot, dirname(file), specifier.text)),
      isType,
    });
  };
  const walk = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node))
      add(node.moduleSpecifier, node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword);
    else if (ts.isExportDeclaration(node)) add(node.moduleSpecifier, node.isTypeOnly);
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword)
      add(node.arguments[0], false);
    ts.forEachChild(node, walk);
  };
  walk(source);
  return found;
}

const folderOf = (path: string): string => path.split('/')[0] ?? '';
const shown = (each: Import): string => `${each.from} imports ${each.to}`;

describe('imports go one way', () => {
  const permitted: Readonly<Record<Folder, readonly string[]>> = {
    core: ['core'],
    gateway: ['core', 'gateway'],
    identity: ['core', 'identity'],
    'model-server': ['core', 'model-server'],
    cli: [...folders],
  };
  for (const folder of folders) {
    it(`${folder} imports only ${permitted[folder].join(', ')}`, () => {
      const wrong = imports.filter(
        (each) => folderOf(each.from) === folder && !permitted[folder].includes(folderOf(each.to)),
      );
      assert.deepEqual(wrong.map(shown), []);
    });
  }

  it('the commands of the CLI know the servers through a few named files only', () => {
    const knowing = new Set(
      imports
        .filter(
          (each) =>
            folderOf(each.from) === 'cli' &&
            ['gateway', 'identity', 'model-server'].includes(folderOf(each.to)) &&
            !each.isType,
        )
        .map((each) => each.from),
    );
    for (const file of knowing) {
      // Signing in, chatting and handing out tokens work against any gateway, so they know none of the servers.
      assert.doesNotMatch(
        file,
        /^cli\/(sign-in\/|token-provider|commands\/(login|logout|token|chat|whoami|env|connect)\.)/,
        file,
      );
    }
  });

  const stages = ['authenticate', 'authorize', 'limit', 'guard', 'forward', 'accounting'] as const;
  const stageOf = (path: string): string | null => /^gateway\/([a-z]+)\//.exec(path)?.[1] ?? null;

  it('a stage never imports the pipeline, the server, the endpoints or the control surface', () => {
    const wrong = imports.filter((each) => {
      const stage = stageOf(each.from);
      if (stage === null || !(stages as readonly string[]).includes(stage)) return false;
      return /^gateway\/(pipeline|server|entry|app|listener)\.ts$|^gateway\/(endpoints|control)\//.test(
        each.to,
      );
    });
    assert.deepEqual(wrong.map(shown), []);
  });

  it('a stage never runs code of another stage; it may name its types', () => {
    const wrong = imports.filter((each) => {
      const from = stageOf(each.from);
      const to = stageOf(each.to);
      const bothStages = [from, to].every(
        (stage) => stage !== null && (stages as readonly string[]).includes(stage),
      );
      return bothStages && from !== to && !each.isType;
    });
    assert.deepEqual(wrong.map(shown), []);
  });

  it('no stage sees Express', () => {
    const wrong = files.filter((file) => {
      const stage = stageOf(file);
      if (
        file !== 'gateway/pipeline.ts' &&
        (stage === null || !(stages as readonly string[]).includes(stage))
      )
        return false;
      return /from 'express'/.test(readFileSync(join(packageRoot, file), 'utf8'));
    });
    assert.deepEqual(wrong, []);
  });

  it('files that run do not import each other in a circle', () => {
    const graph = new Map<string, string[]>();
    for (const { from, to, isType } of imports)
      if (!isType) graph.set(from, [...(graph.get(from) ?? []), to]);
    assert.deepEqual(circlesOf(graph), []);
  });
});

/** Circles of a graph, each named once by the files on it. */
function circlesOf(graph: ReadonlyMap<string, readonly string[]>): string[] {
  const done = new Set<string>();
  const way: string[] = [];
  const circles: string[] = [];
  const visit = (file: string): void => {
    if (done.has(file)) return;
    const at = way.indexOf(file);
    if (at !== -1) {
      circles.push([...way.slice(at), file].join(' → '));
      return;
    }
    way.push(file);
    for (const next of graph.get(file) ?? []) visit(next);
    way.pop();
    done.add(file);
  };
  for (const file of graph.keys()) visit(file);
  return circles;
}

describe('the tree', () => {
  it('has no drawer: no utils, helpers, common or misc', () => {
    assert.deepEqual(
      files.filter((file) => /(^|\/)(utils?|helpers?|common|misc|shared|lib)(\/|\.ts$)/.test(file)),
      [],
    );
  });

  it('has kebab-case names', () => {
    assert.deepEqual(
      files.filter((file) => !/^[a-z0-9/.-]+\.ts$/.test(file)),
      [],
    );
  });

  it('has no default export and begins every file with what it is for', () => {
    for (const file of files) {
      const text = readFileSync(join(packageRoot, file), 'utf8');
      assert.doesNotMatch(text, /^export default /m, file);
      assert.match(text, /^(#!.*\n)?\/\/ \S/, file);
    }
  });
});
