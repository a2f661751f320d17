// What an editor with the YAML language server shows in every file that ships: the description of a key, the keys that
// can stand there, and a red line under a word that is none.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { packageRoot } from '../../core/package.ts';
import { startLanguageServer, type LanguageServer } from './language-server.ts';

const yamlIn = (folder: string): string[] =>
  readdirSync(join(packageRoot, folder))
    .filter((name) => name.endsWith('.yaml'))
    .map((name) => join(folder, name));
const files = [...yamlIn('config'), ...yamlIn('policies'), ...yamlIn('policies/tests')];

let server: LanguageServer;
before(async () => {
  server = await startLanguageServer();
});
after(() => server.close());

describe('an editor with the YAML language server', () => {
  for (const file of files) {
    const text = readFileSync(join(packageRoot, file), 'utf8');
    const lines = text.split('\n');
    const isList = lines.some((line) => line.startsWith('- '));
    const line = lines.findIndex((each) => /^(- )?[a-z_]+:/.test(each));
    const key = /^(?:- )?([a-z_]+):/.exec(lines[line] ?? '')?.[1] ?? '';
    const character = lines[line]?.indexOf(key) ?? 0;
    /** A document beside the file, so that its relative schema is found. */
    const uriOf = (variant: string): string =>
      pathToFileURL(join(packageRoot, file.replace('.yaml', `.${variant}.yaml`))).href;

    it(`explains ${key} of ${file} and finds no fault in the file`, async () => {
      const uri = uriOf('whole');
      assert.deepEqual(await server.open(uri, text), []);
      const hover = await server.request('textDocument/hover', {
        textDocument: { uri },
        position: { line, character: character + 1 },
      });
      const { contents } = hover as { contents: { value: string } }; // LSP.
      assert.ok(contents.value.replaceAll(/[#*\n]/g, '').trim().length > 20, contents.value);
    });

    it(`offers the keys of ${file}`, async () => {
      const uri = uriOf('empty');
      await server.open(uri, `${lines[0] ?? ''}\n${isList ? '- ' : ''}\n`);
      const offered = await server.request('textDocument/completion', {
        textDocument: { uri },
        position: { line: 1, character: isList ? 2 : 0 },
      });
      const { items } = offered as { items: { label: string }[] }; // LSP.
      assert.ok(
        items.some(({ label }) => label === key),
        items.map(({ label }) => label).join(', '),
      );
    });

    it(`objects to a word in ${file} that is no key`, async () => {
      const wrong = lines.with(line, (lines[line] ?? '').replace(key, `${key}x`)).join('\n');
      const found = await server.open(uriOf('wrong'), wrong);
      assert.ok(
        found.some(({ message }) => message.includes(`${key}x`) || message.includes(key)),
        JSON.stringify(found),
      );
    });
  }
});
