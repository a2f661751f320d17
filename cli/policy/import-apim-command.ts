// `sallyport policy import apim FILE`: an APIM policy document as a bundle of ours, with a report of what differs and of
// what has no equivalent.
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { ConfigurationError, decodeYaml, wholeFile } from '../../core/yaml-file.ts';
import { loadBundle } from '../../gateway/policies/bundle.ts';
import { exitCodes, type ExitCode } from '../exit-codes.ts';
import { CommandFailure } from '../failure.ts';
import type { Terminal } from '../terminal.ts';
import { bundleFiles } from './apim/bundle-files.ts';
import { convert } from './apim/convert.ts';
import { DocumentFault, readDocument, withNamedValues } from './apim/document.ts';
import type { Imported, Note, Outcome } from './apim/imported.ts';
import { locatePolicies, type PolicyOptions } from './opened-policies.ts';

/** Flags of `policy import apim`. */
export interface ImportOptions extends PolicyOptions {
  readonly out: string;
  readonly audience: readonly string[];
  readonly tenant: readonly string[];
  /** `name=value` for what the document writes as `{{name}}`. */
  readonly namedValue: readonly string[];
}

/** Writes the bundle and reports. @returns 5 when something that refuses requests in APIM was left out */
export function importApimCommand(source: string, options: ImportOptions, terminal: Terminal): ExitCode {
  const imported = convert(documentOf(source, options.namedValue), {
    audiences: options.audience,
    tenants: options.tenant,
  });
  const hasGap = imported.notes.some(({ outcome }) => outcome === 'missing');
  const written = imported.issuers.size === 0 ? [] : write(imported, source, options);
  if (options.json === true)
    terminal.json({
      source,
      directory: written.length === 0 ? null : options.out,
      files: written,
      notes: imported.notes,
    });
  else report(imported.notes, { written, options, terminal });
  if (imported.issuers.size === 0) return exitCodes.configurationInvalid;
  return hasGap ? exitCodes.testsFailed : exitCodes.done;
}

function documentOf(source: string, namedValues: readonly string[]): ReturnType<typeof readDocument> {
  const values = valuesOf(namedValues);
  try {
    return readDocument(withNamedValues(decodeYaml(readFileSync(source), source), values));
  } catch (error) {
    if (error instanceof DocumentFault)
      throw new ConfigurationError([{ ...wholeFile(source, 'xml', error.message), line: error.line }]);
    if (error instanceof ConfigurationError) throw error;
    throw new CommandFailure(exitCodes.usage, `${source} cannot be read.`, { code: 'not_readable' });
  }
}

function valuesOf(namedValues: readonly string[]): ReadonlyMap<string, string> {
  return new Map(
    namedValues.map((pair) => {
      const equals = pair.indexOf('=');
      if (equals > 0) return [pair.slice(0, equals), pair.slice(equals + 1)];
      throw new CommandFailure(exitCodes.usage, `--named-value ${pair} is not NAME=VALUE.`, {
        code: 'usage',
      });
    }),
  );
}

function write(imported: Imported, source: string, options: ImportOptions): readonly string[] {
  const { out } = options;
  if (existsSync(out) && readdirSync(out).length > 0)
    throw new CommandFailure(exitCodes.usage, `${out} is not empty.`, {
      hints: ['Name another folder with --out, so that nothing is overwritten.'],
      code: 'not_empty',
    });
  const { context } = locatePolicies(undefined, options);
  const files = [...bundleFiles(imported, basename(source))].map(([name, text]) => {
    const path = join(out, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text, { flag: 'wx' });
    return path;
  });
  try {
    loadBundle(out, context);
  } catch (error) {
    rmSync(out, { recursive: true }); // Nothing of it is worth keeping, and all of it is ours.
    throw error;
  }
  return files;
}

const marks: Readonly<Record<Outcome, string>> = { imported: '✓', differs: '~', missing: '✗', ignored: '·' };
const headings: Readonly<Record<Outcome, string>> = {
  missing: 'Without an equivalent: more is let through than in APIM until you add it',
  differs: 'Imported, and other than in APIM',
  imported: 'Imported',
  ignored: 'Left out, no decision depends on it',
};

function report(
  notes: readonly Note[],
  told: { written: readonly string[]; options: ImportOptions; terminal: Terminal },
): void {
  const { written, options, terminal } = told;
  for (const outcome of ['imported', 'differs', 'ignored', 'missing'] as const) {
    const these = notes.filter((note) => note.outcome === outcome);
    if (these.length === 0) continue;
    terminal.write(`${headings[outcome]}:\n`);
    for (const { line, element, text } of these)
      terminal.write(`  ${marks[outcome]} line ${line}  ${element}: ${text}\n`);
    terminal.write('\n');
  }
  if (written.length === 0) {
    terminal.write('Nothing was written: no token validation could be imported.\n');
    return;
  }
  for (const path of written) terminal.write(`${path}\n`);
  terminal.say(`\nNext:  ${terminal.command} policy check ${options.out}`);
  terminal.say(`       ${terminal.command} policy test ${options.out}`);
}
