// Which callers count as one: an IPv4 address, or the /64 of an IPv6 address, because one household or host has them
// all to itself.
import { isIPv6 } from 'node:net';

/** The counter key of an address; text that is no address (a Unix socket peer) is its own key. */
export function addressKey(address: string): string {
  if (!address.includes(':')) return address;
  const bare = address.split('%', 1)[0] ?? ''; // A zone such as %eth0 belongs to our side of the link.
  if (!isIPv6(bare)) return address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(bare)?.[1];
  if (mapped !== undefined) return mapped;
  return `${networkGroups(bare).join(':')}::/64`;
}

/** The first four groups, without leading zeros; `::` is filled up. */
function networkGroups(address: string): string[] {
  const [head = '', tail] = address.split('::', 2);
  const left = groupsOf(head);
  const right = tail === undefined ? [] : groupsOf(tail);
  const missing = tail === undefined ? 0 : 8 - left.length - right.length;
  const groups = [...left, ...new Array<string>(Math.max(missing, 0)).fill('0'), ...right];
  return groups.slice(0, 4).map((group) => Number.parseInt(group, 16).toString(16));
}

/** A dotted IPv4 ending stands for two groups. */
function groupsOf(part: string): string[] {
  if (part === '') return [];
  return part.split(':').flatMap((group) => {
    if (!group.includes('.')) return [group];
    const [a = 0, b = 0, c = 0, d = 0] = group.split('.').map(Number);
    return [((a << 8) | b).toString(16), ((c << 8) | d).toString(16)];
  });
}
