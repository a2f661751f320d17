// Compiles rules.yaml: which rules can match an action, and their conditions as functions.

/** The compiled rules.yaml. */
export interface Rules {
  readonly size: number;
}

/** No rules at all: rules.yaml is optional. */
export const noRules: Rules = { size: 0 };
