// What comes, waits or runs for a while, and goes, as a chain. A Set would be made anew every few dozen times, and V8 chains
// each of its tables to the next: one that grew old keeps all later ones from the young generation's collector, with
// whatever they held.

/** A member of a chain, of one at a time. */
export interface Linked<T> {
  previous: T | null;
  next: T | null;
}

/** Its members in the order in which they joined. */
export class Chain<T extends Linked<T>> {
  #oldest: T | null = null;
  #newest: T | null = null;
  #size = 0;
  #joined = 0;

  get oldest(): T | null {
    return this.#oldest;
  }

  get size(): number {
    return this.#size;
  }

  /** Those that ever joined. */
  get joined(): number {
    return this.#joined;
  }

  join(member: T): void {
    member.previous = this.#newest;
    if (this.#newest === null) this.#oldest = member;
    else this.#newest.next = member;
    this.#newest = member;
    this.#size++;
    this.#joined++;
  }

  /** Its own links are cut as well: a dead link from an old one would keep the others alive. Once it has left, nothing. */
  leave(member: T): void {
    const { previous, next } = member;
    if (previous === null && this.#oldest !== member) return;
    if (previous === null) this.#oldest = next;
    else previous.next = next;
    if (next === null) this.#newest = previous;
    else next.previous = previous;
    member.previous = null;
    member.next = null;
    this.#size--;
  }

  /** Those that are in it now; any of them may leave while they are gone through. */
  all(): readonly T[] {
    const all: T[] = [];
    for (let member = this.#oldest; member !== null; member = member.next) all.push(member);
    return all;
  }
}
