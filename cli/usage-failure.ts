// How a command that was used wrongly is told: one sentence and the way on, for the whole tree and for `npm start`.
import type { Terminal } from './terminal.ts';

/** The screen for commander's "error: unknown command 'lgin'\n(Did you mean login?)". */
export function usageFailure(text: string, { red, command }: Pick<Terminal, 'red' | 'command'>): string {
  const [sentence = '', suggestion] = text
    .trim()
    .replace(/^error: /, '')
    .split('\n');
  const choices =
    /^command-argument value '(.*)' is invalid for argument '(\w+)'\. Allowed choices are (.+)\.$/;
  const [, given, name, allowed] = choices.exec(sentence) ?? [];
  if (given !== undefined) return `${red('✗')} There is no ${name} '${given}'.\n  There are: ${allowed}.`;
  const capital = sentence.charAt(0).toUpperCase() + sentence.slice(1).replace(/\.$/, '');
  const hint = suggestion?.replaceAll(/[()]/g, '') ?? '';
  return `${red('✗')} ${capital}.${hint === '' ? '' : ` ${hint}`}\n  ${command} -h  shows what there is.`;
}
