// Condition `network`: from where the caller comes. The address is the one of gateway/caller-address.ts, which believes
// forwarding headers from listed proxies only.
import { BlockList, isIP } from 'node:net';
import { z } from 'zod';
import type { Condition, Test } from './condition.ts';

const network = z.string().refine(isNetwork, 'a network is an IP address or a CIDR block such as 10.0.0.0/8');
const schema = z
  .array(network)
  .min(1)
  .describe('Addresses or CIDR blocks of the caller, e.g. `10.0.0.0/8`, `2001:db8::/32`.');

/** Any of the listed networks; a caller whose address is not known matches none. */
export const networks = {
  name: 'network',
  codes: ['network_matched', 'network_not_matched'],
  settled: false,
  schema,
  compile(blocks): Test {
    const isInside = networkTest(blocks);
    return ({ request }) => isInside(request.context.callerAddress);
  },
} as const satisfies Condition<typeof schema>;

/** Whether a text is an IP address, alone or with a prefix length. */
export function isNetwork(text: string): boolean {
  const [address = '', prefix, ...rest] = text.split('/');
  const family = isIP(address);
  if (family === 0 || rest.length > 0 || address.includes('%')) return false;
  return (
    prefix === undefined || (/^(0|[1-9]\d{0,2})$/.test(prefix) && Number(prefix) <= (family === 6 ? 128 : 32))
  );
}

/** Compiles networks to a test of one address; the last answers are kept, because the lookup costs microseconds. */
export function networkTest(blocks: readonly string[]): (address: string) => boolean {
  const list = new BlockList();
  for (const block of blocks) {
    const [address = '', prefix] = block.split('/');
    const type = isIP(address) === 6 ? 'ipv6' : 'ipv4';
    if (prefix === undefined) list.addAddress(address, type);
    else list.addSubnet(address, Number(prefix), type);
  }
  const answers = new Map<string, boolean>();
  return (address) => {
    const known = answers.get(address);
    if (known !== undefined) return known;
    const family = isIP(address);
    const answer = family !== 0 && list.check(address, family === 6 ? 'ipv6' : 'ipv4');
    if (answers.size >= 1_024) answers.clear();
    answers.set(address, answer);
    return answer;
  };
}
