// Completion scripts for bash, zsh and fish. Static but for two things asked when a word is completed: the profiles
// (from files, no network) and the models (from the gateway, only after --model).

export type Shell = 'bash' | 'zsh' | 'fish';

/** A command: the way to it, the words that may follow, its flags. */
export interface CompletionNode {
  readonly path: readonly string[];
  readonly words: readonly string[];
  readonly flags: readonly string[];
}

/** The script for a shell. Names and flags are our own words: letters, digits and dashes. */
export function shellCompletion(shell: Shell, nodes: readonly CompletionNode[]): string {
  switch (shell) {
    case 'bash':
      return bash(nodes);
    case 'zsh':
      return `autoload -U +X bashcompinit && bashcompinit\n${bash(nodes)}`;
    case 'fish':
      return fish(nodes);
  }
}

// bash expands the words it is given: what a gateway calls its models must not become a command.
const safe = String.raw`tr -cd 'A-Za-z0-9._:/\n-'`;
const profiles = `sallyport profile list 2>/dev/null | sed 's/^..//; s/ .*//' | ${safe}`;
const models = `sallyport whoami --json 2>/dev/null | sed -n 's/.*"models":\\[\\([^]]*\\)\\].*/\\1/p' | tr ',' '\\n' | ${safe}`;

function bash(nodes: readonly CompletionNode[]): string {
  const paths = nodes.filter(({ path }) => path.length > 0).map(({ path }) => `'${path.join(' ')}'`);
  const cases = nodes.map(
    ({ path, words, flags }) =>
      `    '${path.join(' ')}') words='${words.join(' ')}' flags='${flags.join(' ')}' ;;`,
  );
  return `# sallyport completion
_sallyport() {
  local word path='' words='' flags='' current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}"
  COMPREPLY=()
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "\${path:+$path }$word" in
    ${paths.join('|')}) path="\${path:+$path }$word" ;;
    esac
  done
  case "$previous" in
    --profile) words="$(${profiles})" ;;
    -m|--model) [ "$path" = start ] || [ "$path" = serve ] && return
      words="$(${models})" ;;
    --ca|--config|--data|--directory) COMPREPLY=($(compgen -f -- "$current")); return ;;
  esac
  if [ -n "$words" ]; then COMPREPLY=($(compgen -W "$words" -- "$current")); return; fi
  case "$path" in
${cases.join('\n')}
  esac
  if [ "$path" = 'profile use' ]; then words="$(${profiles})"; fi
  case "$current" in
    -*) COMPREPLY=($(compgen -W "$flags" -- "$current")) ;;
    *) COMPREPLY=($(compgen -W "$words" -- "$current")) ;;
  esac
}
complete -o default -F _sallyport sallyport
`;
}

function fish(nodes: readonly CompletionNode[]): string {
  const lines = nodes.flatMap(({ path, words, flags }) => {
    const seen = path.map((word) => `__fish_seen_subcommand_from ${word}`);
    const unseen = words.length > 0 ? [`not __fish_seen_subcommand_from ${words.join(' ')}`] : [];
    const at = [...seen, ...unseen].join('; and ') || 'true';
    return [
      ...(words.length > 0 ? [`complete -c sallyport -f -n '${at}' -a '${words.join(' ')}'`] : []),
      ...flags
        .filter((flag) => !['--profile', '--model'].includes(flag))
        .map((flag) => `complete -c sallyport -n '${seen.join('; and ') || 'true'}' -l ${flag.slice(2)}`),
    ];
  });
  return [
    '# sallyport completion',
    ...lines,
    `complete -c sallyport -x -l profile -a "(${fishQuoted(profiles)})"`,
    `complete -c sallyport -x -s m -l model -a "(${fishQuoted(models)})"`,
    `complete -c sallyport -f -n '__fish_seen_subcommand_from profile; and __fish_seen_subcommand_from use' -a "(${fishQuoted(profiles)})"`,
    '',
  ].join('\n');
}

function fishQuoted(command: string): string {
  return command.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('$', '\\$');
}
