// `sallyport audit verify [DIR]`: checks the hash chains of an audit folder from its files alone, for auditors. Works on a
// copy, and beside a running gateway. Data to stdout, talk to stderr.
import { readdirSync } from 'node:fs';
import { InvalidArgumentError, type Command } from 'commander';
import type { AuditVerification } from '../../gateway/accounting/audit-verify.ts';
import { exitCodes } from '../exit-codes.ts';
import { CommandFailure } from '../failure.ts';
import { processTerminal } from '../terminal.ts';

interface Anchor {
  readonly seq: number;
  readonly hash: string;
}

interface VerifyOptions {
  readonly anchor: readonly Anchor[];
  readonly json?: boolean;
}

const defaultFolder = 'data/gateway/audit';

/** Adds `audit` with its subcommand to the tree. */
export function registerAuditCommands(program: Command): void {
  program
    .command('audit')
    .description("Check the gateway's audit log.")
    .command('verify')
    .description('Verify every chain of an audit folder: nothing changed, removed, inserted or cut off.')
    .addHelpText('before', 'Example:\n  sallyport audit verify /var/lib/sallyport/gateway/audit\n')
    .argument('[folder]', 'the audit folder, or a copy of it', defaultFolder)
    .option(
      '--anchor <seq:hash>',
      'a record noted elsewhere that must be there; may be repeated',
      addAnchor,
      [],
    )
    .option('--json', 'one JSON object with ok, chains and findings')
    .action((folder: string, options: VerifyOptions) => verify(folder, options));
}

async function verify(folder: string, { anchor, json }: VerifyOptions): Promise<void> {
  const terminal = processTerminal();
  requireFolder(folder);
  const { verifyAuditLog } = await import('../../gateway/accounting/audit-verify.ts');
  const verification = await verifyAuditLog(folder, { anchors: anchor });
  if (verification.chains.length === 0 && verification.findings.length === 0) {
    throw new CommandFailure(exitCodes.usage, `There is no audit log in ${folder}.`, {
      code: 'no_audit_log',
      hints: [`The gateway keeps it in the folder audit of gateway.data, by default ${defaultFolder}.`],
    });
  }
  if (json === true) terminal.json(verification);
  else for (const line of linesOf(verification)) terminal.write(`${line}\n`);
  const { findings } = verification;
  if (findings.length > 0) {
    throw new CommandFailure(
      exitCodes.testsFailed,
      `The audit log is not as it was written: ${findings.length === 1 ? 'one finding' : `${findings.length} findings`}.`,
      { code: 'audit_log_differs', hints: ['What each finding means: docs/reference/audit.md'] },
    );
  }
  if (json !== true) terminal.say(`${terminal.green('✓')} The audit log is as it was written.`);
}

function linesOf({ chains, findings }: AuditVerification): string[] {
  return [
    ...chains.map(
      ({ writer, records, first, last }) =>
        `${writer}  ${records} ${records === 1 ? 'record' : 'records'}, ${first} to ${last.seq}, last hash ${last.hash}`,
    ),
    ...findings.map(({ file, line, code, message }) => {
      const place = line === 0 ? file : `${file}:${line}`;
      return [place, code, message].filter((part) => part !== '').join('  ');
    }),
  ];
}

function requireFolder(folder: string): void {
  try {
    readdirSync(folder);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException; // What the file system throws.
    const problem =
      code === 'ENOENT' ? `There is no folder ${folder}.` : `The folder ${folder} cannot be read (${code}).`;
    throw new CommandFailure(exitCodes.usage, problem, { code: 'no_folder' });
  }
}

function addAnchor(text: string, earlier: readonly Anchor[]): readonly Anchor[] {
  const [, seq, hash] = /^(\d{1,15}):([0-9a-f]{64})$/.exec(text) ?? [];
  if (seq === undefined || hash === undefined)
    throw new InvalidArgumentError('An anchor is the number of a record, a colon and its hash.');
  return [...earlier, { seq: Number(seq), hash }];
}
