// The exit codes of every command, the same through npx. Documented by `sallyport help exit-codes`.

/** Exit codes by what happened; additive only. */
export const exitCodes = {
  done: 0,
  unexpected: 1,
  usage: 2,
  configurationInvalid: 3,
  signInNeeded: 4,
  testsFailed: 5,
  refused: 6,
  rateLimited: 7,
  unreachable: 8,
  interrupted: 130,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** One sentence per exit code, in the order of `help exit-codes`. */
export const exitCodeMeanings: readonly (readonly [ExitCode, string])[] = [
  [0, 'done'],
  [1, 'something unexpected'],
  [2, 'the command was used wrongly'],
  [3, 'a policy or the configuration is invalid'],
  [4, 'sign-in is needed, or was not completed'],
  [5, 'a test or a verification failed, or a decision differs'],
  [6, 'refused by a policy or a guard'],
  [7, 'a rate limit or a budget is used up'],
  [8, 'the gateway, the issuer or the model cannot be reached'],
  [130, 'interrupted with Ctrl-C'],
];
