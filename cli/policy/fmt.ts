// `sallyport policy fmt [DIRECTORY]`: lays policy and test files out alike. Comments, blank lines and values stay; a file
// is written only when it changes, by rename, and only when it still says the same.
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { Lexer, parseDocument } from 'yaml';
import { ConfigurationError, decodeYaml, wholeFile } from '../../core/yaml-file.ts';
import { policyFiles } from '../../gateway/policies/bundle.ts';
import { exitCodes, type ExitCode } from '../exit-codes.ts';
import type { Terminal } from '../terminal.ts';
import { plural } from './finding-formats.ts';
import { locatePolicies, type PolicyOptions } from './opened-policies.ts';
import { testFilesOf } from '../../gateway/policies/evaluation/test-files.ts';

export interface FmtOptions extends PolicyOptions {
  readonly check?: boolean;
}

/** Formats the files, or with `--check` only names those that would change (5). */
export function fmtCommand(directory: string | undefined, options: FmtOptions, terminal: Terminal): ExitCode {
  const { directory: folder } = locatePolicies(directory, options);
  const files = [...Object.keys(policyFiles).map((name) => join(folder, name)), ...testFilesOf(folder)];
  const present = files.filter((path) => existsSync(path));
  if (present.length === 0)
    throw new ConfigurationError([wholeFile(folder, 'missing_file', 'the folder holds no policies')]);
  // Every file is laid out before the first is written, so that a fault in one leaves all as they were.
  const changed = present.flatMap((path) => {
    const text = decodeYaml(readFileSync(path), path);
    const formatted = formatYaml(text, path);
    return formatted === text ? [] : [{ path, formatted }];
  });
  if (options.check !== true) for (const { path, formatted } of changed) replaceFile(path, formatted);
  if (options.json === true)
    terminal.json({ files: present.length, changed: changed.map(({ path }) => path) });
  else
    report(
      changed.map(({ path }) => path),
      { total: present.length, isCheck: options.check === true, terminal },
    );
  return options.check === true && changed.length > 0 ? exitCodes.testsFailed : exitCodes.done;
}

/** The same document in our layout. @throws ConfigurationError when it is no YAML */
export function formatYaml(text: string, path: string): string {
  const document = parseDocument(text, { version: '1.2', strict: true, merge: false });
  const [fault] = document.errors;
  if (fault !== undefined) {
    const { line = 1, col: column = 1 } = fault.linePos?.[0] ?? {};
    const message = fault.message.split('\n')[0]?.replace(/ at line \d+.*$/, '') ?? fault.code;
    throw new ConfigurationError([{ ...wholeFile(path, 'yaml_syntax', message), line, column }]);
  }
  const layout = { lineWidth: 0, indent: 2, singleQuote: true, flowCollectionPadding: true };
  const formatted = withTightLists(document.toString(layout));
  const again = parseDocument(formatted, { version: '1.2', strict: true, merge: false });
  // Whatever the layout does, the policies must mean what they meant.
  if (!isDeepStrictEqual(again.toJS(), document.toJS()))
    throw new ConfigurationError([
      wholeFile(path, 'not_formatted', 'the file cannot be laid out without changing what it says'),
    ]);
  return formatted;
}

/** `[a, b]` beside `{ a: b }`: the library pads both kinds or neither. */
function withTightLists(text: string): string {
  const lexemes = [...new Lexer().lex(text)];
  return lexemes
    .filter((lexeme, index) => {
      // The lexer marks documents and scalars with control characters, which are no text.
      if (lexeme === documentMark || lexeme === scalarMark) return false;
      if (!/^ +$/.test(lexeme)) return true;
      const isAfterOpening = lexemes[index - 1] === '[' && lexemes[index + 1]?.startsWith('#') !== true;
      const isBeforeClosing = lexemes[index + 1] === ']' && lexemes[index - 1] !== '\n';
      return !isAfterOpening && !isBeforeClosing;
    })
    .join('');
}
const documentMark = '\u0002';
const scalarMark = '\u001f';

function replaceFile(path: string, text: string): void {
  const beside = `${path}.new`;
  writeFileSync(beside, text);
  renameSync(beside, path);
}

function report(
  changed: readonly string[],
  { total, isCheck, terminal }: { total: number; isCheck: boolean; terminal: Terminal },
): void {
  for (const path of changed) terminal.write(`${path}\n`);
  const verb = isCheck ? 'would change' : 'changed';
  terminal.say(
    `${changed.length === 0 ? terminal.green('✓') : '·'} ${changed.length} of ${plural(total, 'file')} ${verb}.`,
  );
}
