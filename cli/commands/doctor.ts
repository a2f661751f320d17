// `sallyport doctor`: checks the way from this machine to a model, one line each, with the repair. Safe to paste: the
// checks print addresses, modes and times, never a token or a prompt.
import type { Command } from 'commander';
import { withConnectionOptions, type ConnectionOptions } from '../connection.ts';
import { exitCodes } from '../exit-codes.ts';
import { asTyped, CommandFailure } from '../failure.ts';
import { examine, type Finding } from '../health-checks.ts';
import { processTerminal, type Terminal } from '../terminal.ts';

interface DoctorOptions extends ConnectionOptions {
  readonly json?: boolean;
}

/** Adds `doctor` to the tree. */
export function registerDoctorCommand(program: Command): void {
  withConnectionOptions(program.command('doctor'))
    .description('Check the way from here to a model; each problem comes with its repair.')
    .addHelpText('before', 'Example:\n  sallyport doctor\n')
    .option('--json', 'one JSON array of checks')
    .action(doctor);
}

async function doctor(options: DoctorOptions): Promise<void> {
  const terminal = processTerminal();
  const findings: Finding[] = [];
  for await (const finding of examine(options)) {
    findings.push(finding);
    if (options.json !== true) show(finding, terminal);
  }
  if (options.json === true) terminal.json(findings);
  const problems = findings.filter((finding) => finding.status === 'problem').length;
  if (problems === 0) return;
  throw new CommandFailure(
    exitCodes.unexpected,
    problems === 1 ? 'One thing to repair.' : `${problems} things to repair.`,
    { code: 'problems_found' },
  );
}

function show({ check, status, detail, repair }: Finding, terminal: Terminal): void {
  const mark = { ok: terminal.green('✓'), problem: terminal.red('✗'), skipped: terminal.dim('-') }[status];
  // The report is what this command is for, so it is data; colour only where stdout itself is a terminal.
  const plain = { ok: '✓', problem: '✗', skipped: '-' }[status];
  terminal.write(`${terminal.stdout.isTTY === true ? mark : plain} ${check.padEnd(14)} ${detail}\n`);
  if (repair !== null) terminal.write(`  ${''.padEnd(14)} ${asTyped(repair, terminal)}\n`);
}
