// Which addresses have failed too often, as far as other processes know, at hand before each request: a list that is asked
// for on a clock, so that no request waits for it. What this process counts itself is known with its answer, what others
// count within the age given here. A list that is too old is asked for anew, and while nobody answers nobody is let in.
import { createPeekCache } from './peek-cache.ts';
import type { LimitRule, LimitState, Soon } from './store.ts';

/** How old a list may be, milliseconds, counted from the question. */
const maxAgeMs = 1_000;
/** How often it is asked for. */
const everyMs = 500;
/** Addresses in a list; where more have failed too often, those that are not in it are asked for one by one. */
export const longestList = 1_000;

/** Keys that have reached the quota of a rule. */
export interface FailureList {
  /** False: there are more than are listed. */
  readonly isWhole: boolean;
  readonly reached: readonly { readonly key: string; readonly leftMs: number }[];
}

/** Counters of failures that several processes share, by names that may lie there. */
export interface SharedFailures {
  list(rule: LimitRule): Promise<FailureList>;
  one(rule: LimitRule, key: string): Promise<LimitState>;
}

/** What is known of them here. */
export interface KnownFailures {
  /** As `LimitStore.peek`; a promise only where the list is too old, not whole, or of another rule. */
  peek(rule: LimitRule, key: string): Soon<LimitState>;
  /** What the shared counters have answered to a failure that was counted from here. */
  counted(rule: LimitRule, key: string, state: LimitState): void;
  close(): void;
}

interface Known {
  readonly askedAtMs: number;
  isWhole: boolean;
  /** When the window of a key ends, by the clock of this process. */
  readonly endsAtMs: Map<string, number>;
}

/** Follows the rule that was last looked at; it is the one of the policies in use. */
export function followFailures(
  shared: SharedFailures,
  {
    nameOf,
    now = () => performance.now(),
  }: { readonly nameOf: (key: string) => string; readonly now?: () => number },
): KnownFailures {
  const cache = createPeekCache();
  let followed: LimitRule | null = null;
  let known: Known | null = null;
  let asking: { readonly rule: LimitRule; readonly answer: Promise<void> } | null = null;

  const refresh = (rule: LimitRule): Promise<void> => {
    if (asking !== null && isSameRule(asking.rule, rule)) return asking.answer;
    const askedAtMs = now();
    const answer = shared.list(rule).then(({ isWhole, reached }) => {
      // An answer for a rule that is no longer followed says nothing about the one that is.
      if (followed === null || !isSameRule(followed, rule)) return;
      const heardAtMs = now();
      const endsAtMs = new Map(reached.map(({ key, leftMs }) => [key, heardAtMs + leftMs]));
      known = { askedAtMs, isWhole, endsAtMs };
    });
    const current = { rule, answer };
    asking = current;
    const ended = (): void => {
      if (asking === current) asking = null;
    };
    answer.then(ended, ended);
    return answer;
  };
  const timer = setInterval(() => {
    // Who is refused for it asks again, and the store tells of it itself.
    if (followed !== null) refresh(followed).catch(() => undefined);
  }, everyMs).unref();

  const judge = (rule: LimitRule, key: string, { isWhole, endsAtMs }: Known): Soon<LimitState> => {
    if (isWhole && endsAtMs.size === 0) return free(rule);
    const name = nameOf(key);
    const leftMs = (endsAtMs.get(name) ?? 0) - now();
    if (leftMs > 0) return { permitted: false, remaining: 0, resetMs: leftMs, endMs: Date.now() + leftMs };
    return isWhole ? free(rule) : cache.peek(rule, name, () => shared.one(rule, name));
  };
  const usable = (): Known | null => (known !== null && now() - known.askedAtMs <= maxAgeMs ? known : null);

  return {
    peek(rule, key) {
      if (followed !== rule) {
        if (followed === null || !isSameRule(followed, rule)) known = null;
        followed = rule;
      }
      const at = usable();
      if (at !== null) return judge(rule, key, at);
      return refresh(rule).then(() => {
        const heard = usable();
        // It took longer than it may be old, or another rule is followed by now: asked for by itself.
        if (heard === null || followed !== rule) return shared.one(rule, nameOf(key));
        return judge(rule, key, heard);
      });
    },
    counted(rule, key, state) {
      const name = nameOf(key);
      cache.counted(rule, name, state);
      if (known === null || followed === null || !isSameRule(followed, rule) || state.remaining > 0) return;
      if (known.endsAtMs.size < longestList) known.endsAtMs.set(name, now() + state.resetMs);
      else known.isWhole = false;
    },
    close: () => clearInterval(timer),
  };
}

const isSameRule = (one: LimitRule, other: LimitRule): boolean =>
  one === other || (one.name === other.name && one.quota === other.quota && one.windowMs === other.windowMs);

/** An address that has not failed too often; how often it has is not asked. */
const free = ({ quota, windowMs }: LimitRule): LimitState => ({
  permitted: true,
  remaining: quota,
  resetMs: windowMs,
  endMs: 0,
});
