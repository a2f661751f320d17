// What a stage remembers of a principal, for as long as the principal lives. A principal that passes by once (isPassing) is
// not worth it: the collector takes the values of weak maps for alive until it searches the whole heap, so 5 KB for each
// access token that came once had to be found that way.
import type { Principal } from './principal.ts';

/** One remembered value for each principal that may come again. */
export class PrincipalMemo<T extends object> {
  readonly #values = new WeakMap<Principal, T>();

  get(principal: Principal): T | undefined {
    return principal.isPassing === true ? undefined : this.#values.get(principal);
  }

  set(principal: Principal, value: T): void {
    if (principal.isPassing !== true) this.#values.set(principal, value);
  }
}
