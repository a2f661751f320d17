// Assertions that may be used again: from the second sight of a subject on, since one that comes once needs no memory.
import { assertionLifetimeSeconds } from '../../core/assertion.ts';
import { KeptInUse } from '../kept-in-use.ts';
import { SecondSight } from '../second-sight.ts';
import type { AssertionSubject } from './assertion.ts';

const renewBeforeExpiryMs = 20_000;
const mostKept = 4_096;
/** What kept assertions take, keys and subjects included: room for as many as principals are kept. */
const mostKeptBytes = 4 * 1_048_576;
/** Shortcuts to them, which keep what the other memory may have dropped. */
const mostShortcuts = 2_048;

/** An assertion that may be used again, and for whom. */
interface Kept {
  readonly subject: AssertionSubject;
  readonly assertion: string;
  readonly freshUntilMs: number;
}

/** By service, subject, client, roles and kind of credential. */
export class KeptAssertions {
  readonly #kept: KeptInUse<Kept>;
  /** The last assertion for each subject: found without writing a name, which costs more than all the rest of a hit. */
  readonly #latest = { 'model-server': new Map<string, Kept>(), identity: new Map<string, Kept>() };
  readonly #seen = new SecondSight();
  readonly #now: () => number;

  /** `now` is epoch ms. */
  constructor(now: () => number) {
    this.#now = now;
    this.#kept = new KeptInUse({ maxEntries: mostKept, maxBytes: mostKeptBytes }, now);
  }

  /** The last one for the subject, when it says the same and is fresh. */
  latest(subject: AssertionSubject): string | null {
    const last = this.#latest[subject.service].get(subject.subject);
    return last !== undefined && isAlike(last.subject, subject) && this.#isFresh(last)
      ? last.assertion
      : null;
  }

  /** Whether the subject came lately, so that what is signed for it is worth keeping; to be asked once for each request. */
  came({ subject }: AssertionSubject): boolean {
    return this.#seen.came(subject);
  }

  /** A fresh one by its name. */
  find(name: string, subject: AssertionSubject): string | null {
    const known = this.#kept.get(name);
    if (known === undefined) return null;
    if (!this.#isFresh(known)) {
      this.#kept.delete(name); // Its place is for the one that is signed in its stead.
      return null;
    }
    const shortcuts = this.#latest[subject.service];
    if (shortcuts.size >= mostShortcuts) shortcuts.clear();
    shortcuts.set(subject.subject, { ...known, subject });
    return known.assertion;
  }

  /** Keeps one where that pushes out none in use; `issuedAt` is epoch seconds. */
  keep(name: string, subject: AssertionSubject, { assertion, issuedAt }: Signed): void {
    const freshUntilMs = (issuedAt + assertionLifetimeSeconds) * 1000 - renewBeforeExpiryMs;
    const bytes = 600 + name.length + assertion.length;
    if (this.#kept.hasRoom(bytes)) this.#kept.set(name, { subject, assertion, freshUntilMs }, bytes);
  }

  #isFresh({ freshUntilMs }: Kept): boolean {
    const nowMs = this.#now();
    // A clock that was set back would leave an assertion fresh for too long; the upper bound catches that.
    return freshUntilMs > nowMs && freshUntilMs <= nowMs + assertionLifetimeSeconds * 1000;
  }
}

/** An assertion with when it was issued, epoch seconds. */
export interface Signed {
  readonly assertion: string;
  readonly issuedAt: number;
}

/** What an assertion for the subject is kept by. */
export function nameOf({ service, subject, clientId, credential, roles }: AssertionSubject): string {
  return JSON.stringify([service, subject, clientId, credential, ...roles]);
}

/** Of one service and one subject: whether the assertions would say the same. Equal roles are one set in a snapshot. */
function isAlike(left: AssertionSubject, right: AssertionSubject): boolean {
  return (
    left.roles === right.roles && left.clientId === right.clientId && left.credential === right.credential
  );
}
