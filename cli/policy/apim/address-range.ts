// A range of addresses as the fewest CIDR blocks that cover exactly it.
import { BlockList, isIP, SocketAddress } from 'node:net';

/** The blocks of `from`–`to`, both included; null when they are no range of one family. */
export function blocksOf(from: string, to: string): string[] | null {
  const family = isIP(from);
  if (family === 0 || isIP(to) !== family) return null;
  const bits = family === 4 ? 32 : 128;
  let start = numberOf(from);
  const end = numberOf(to);
  if (start > end) return null;
  const blocks: string[] = [];
  while (start <= end) {
    let size = 0;
    while (size < bits && start % (2n << BigInt(size)) === 0n && start + (2n << BigInt(size)) - 1n <= end)
      size++;
    blocks.push(`${textOf(start, family)}/${bits - size}`);
    start += 1n << BigInt(size);
  }
  return blocks;
}

function numberOf(address: string): bigint {
  if (isIP(address) === 4) return address.split('.').reduce((sum, part) => sum * 256n + BigInt(part), 0n);
  return groupsOf(address).reduce((sum, group) => sum * 65_536n + BigInt(group), 0n);
}

/** The eight groups of an IPv6 address. */
function groupsOf(address: string): number[] {
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(address);
  const text =
    dotted === null
      ? address
      : `${dotted[1] ?? ''}${(Number(dotted[2]) * 256 + Number(dotted[3])).toString(16)}:${(Number(dotted[4]) * 256 + Number(dotted[5])).toString(16)}`;
  const [head = '', tail] = text.split('::', 2);
  const groups = (part: string): number[] =>
    part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16));
  const [left, right] = [groups(head), tail === undefined ? [] : groups(tail)];
  return [...left, ...new Array<number>(8 - left.length - right.length).fill(0), ...right];
}

function textOf(value: bigint, family: number): string {
  if (family === 4) return [24n, 16n, 8n, 0n].map((shift) => String((value >> shift) & 255n)).join('.');
  const groups = Array.from({ length: 8 }, (_, index) =>
    ((value >> BigInt(112 - index * 16)) & 65_535n).toString(16),
  );
  return new SocketAddress({ address: groups.join(':'), family: 'ipv6' }).address;
}

/** Whether a text is an address or a block that rules accept. */
export function isBlock(text: string): boolean {
  const [address = '', prefix] = text.split('/');
  if (isIP(address) === 0) return false;
  if (prefix === undefined) return true;
  try {
    new BlockList().addSubnet(address, Number(prefix), isIP(address) === 6 ? 'ipv6' : 'ipv4');
    return /^\d{1,3}$/.test(prefix);
  } catch {
    return false;
  }
}
