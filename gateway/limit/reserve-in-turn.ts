// A request against several limits, one counter after the other: for stores that count at once, and for limits that
// lie in two stores.
import type { Claim, CountedIn, LimitState, LimitStore, Soon } from './store.ts';

/** Counts each claim until one is refused; what was held until then is given back, also when a counter fails. */
export function reserveInTurn(
  claims: readonly Claim[],
  counters: {
    readonly count: (claim: Claim) => LimitState;
    readonly adjust: (counted: CountedIn, units: number) => void;
  },
): readonly LimitState[] {
  const states: LimitState[] = [];
  let isComplete = false;
  try {
    for (const claim of claims) {
      const state = counters.count(claim);
      states.push(state);
      if (!state.permitted) return states;
    }
    isComplete = true;
    return states;
  } finally {
    if (!isComplete) giveBackHeld(claims, states, counters.adjust);
  }
}

/** Parts of one request's claims and the store of each, in the order of the claims. */
export type Run = readonly [store: Pick<LimitStore, 'reserve' | 'adjust'>, claims: readonly Claim[]];

/** The same over several stores, each of which takes a run of claims. */
export function reserveRuns(runs: readonly Run[]): Soon<readonly LimitState[]> {
  const [first, ...rest] = runs;
  if (first === undefined) return [];
  const [store, claims] = first;
  const giveBack = (states: readonly LimitState[]): void =>
    giveBackHeld(claims, states, (counted, units) => {
      // The store tells of its fault itself; what stays reserved is never too little.
      void Promise.resolve(store.adjust(counted, units)).catch(() => undefined);
    });
  return soon(store.reserve(claims), (states) => {
    if (rest.length === 0 || states.at(-1)?.permitted === false) return states;
    try {
      const later = reserveRuns(rest);
      const joined = (more: readonly LimitState[]): readonly LimitState[] => {
        if (more.at(-1)?.permitted === false) giveBack(states);
        return [...states, ...more];
      };
      if (!(later instanceof Promise)) return joined(later);
      return later.then(joined, (error: unknown) => {
        giveBack(states);
        throw error;
      });
    } catch (error) {
      giveBack(states);
      throw error;
    }
  });
}

/** Goes on with a value at once, or when its promise has it. */
export function soon<T, Next>(value: Soon<T>, next: (value: T) => Soon<Next>): Soon<Next> {
  return value instanceof Promise ? value.then(next) : next(value);
}

/** Only what was counted is given back: of the claims that have a state, the permitted ones that hold. */
function giveBackHeld(
  claims: readonly Claim[],
  states: readonly LimitState[],
  adjust: (counted: CountedIn, units: number) => void,
): void {
  for (const [index, { permitted, endMs }] of states.entries()) {
    const claim = claims[index];
    if (claim?.isHeld === true && permitted)
      adjust({ rule: claim.rule, key: claim.key, endMs }, -claim.units);
  }
}
