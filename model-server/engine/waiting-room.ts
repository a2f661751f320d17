// Who gets a sequence next. Bounded; fair between principals: of those waiting, the first of the principal with the
// fewest running completions goes, so that one caller's `n: 16` does not make all others wait behind it.

/** A granted sequence; `leave` hands it back, once. */
export interface Place {
  readonly leave: () => void;
}

/** The queue before the sequences of one model. */
export interface WaitingRoom {
  readonly running: () => number;
  readonly waiting: () => number;
  /**
   * Asks for several places at once: all may wait, or none (null). Each promise resolves when its place is free and
   * rejects with the signal's reason when the caller leaves before.
   */
  readonly enter: (principal: string, count: number, signal: AbortSignal) => readonly Promise<Place>[] | null;
  /** Admits those for whom there is room now, after there have become more places. */
  readonly admit: () => void;
}

interface Waiter {
  readonly principal: string;
  readonly admit: () => void;
}

/** Creates the queue. @param places sequences there are now. @param maxWaiting how many may wait beyond them. */
export function createWaitingRoom(places: () => number, maxWaiting: number): WaitingRoom {
  const runningOf = new Map<string, number>();
  let waiters: Waiter[] = [];
  let running = 0;

  const place = (principal: string): Place => {
    running++;
    runningOf.set(principal, (runningOf.get(principal) ?? 0) + 1);
    let isLeft = false;
    return {
      leave: () => {
        if (isLeft) return;
        isLeft = true;
        running--;
        const left = (runningOf.get(principal) ?? 1) - 1;
        if (left === 0) runningOf.delete(principal);
        else runningOf.set(principal, left);
        admit();
      },
    };
  };

  const admit = (): void => {
    while (running < places() && waiters.length > 0) admitNext();
  };

  const admitNext = (): void => {
    let next: Waiter | undefined;
    for (const waiter of waiters) {
      const isFairer =
        next === undefined || (runningOf.get(waiter.principal) ?? 0) < (runningOf.get(next.principal) ?? 0);
      if (isFairer) next = waiter;
    }
    next?.admit();
  };

  const wait = (principal: string, signal: AbortSignal): Promise<Place> =>
    new Promise((resolve, reject) => {
      const leave = (): void => {
        waiters = waiters.filter((other) => other !== waiter);
        signal.removeEventListener('abort', onAbort);
      };
      const onAbort = (): void => {
        leave();
        reject(new Error('the caller left the queue'));
      };
      const waiter: Waiter = {
        principal,
        admit: () => {
          leave();
          resolve(place(principal));
        },
      };
      signal.addEventListener('abort', onAbort, { once: true });
      waiters.push(waiter);
    });

  return {
    running: () => running,
    waiting: () => waiters.length,
    enter: (principal, count, signal) => {
      const room = places() - running + maxWaiting - waiters.length;
      if (count > room) return null;
      return Array.from({ length: count }, () => {
        if (signal.aborted) return Promise.reject(new Error('the caller left the queue'));
        return running < places() && waiters.length === 0
          ? Promise.resolve(place(principal))
          : wait(principal, signal);
      });
    },
    admit,
  };
}
