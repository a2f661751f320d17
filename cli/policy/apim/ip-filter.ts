// APIM `ip-filter`: addresses that alone may call, or that may not.
import type { PolicyElement } from './document.ts';
import { blocksOf, isBlock } from './address-range.ts';
import { freeName, note, type Imported } from './imported.ts';

/** An expression may have 500 nodes; a network in it takes five. */
const longestAllowList = 80;

/** Imports one element to a deny rule. */
export function ipFilter(imported: Imported, element: PolicyElement): void {
  const networks = networksOf(imported, element);
  if (networks === null) return;
  const names = new Set(imported.rules.map((rule) => String(rule['name'])));
  const action = element.attributes.get('action')?.toLowerCase();
  if (action === 'forbid') {
    const name = freeName(names, 'forbidden-addresses');
    imported.rules.push({ name, effect: 'deny', network: networks });
    note(imported, element, 'imported', `rules.yaml: ${name}`);
  } else if (action === 'allow' && networks.length <= longestAllowList) {
    const name = freeName(names, 'allowed-addresses-only');
    const inside = networks.map(
      (network) => `environment.caller_address.in_network(${JSON.stringify(network)})`,
    );
    imported.sampleRequest.from ??= networks[0]?.split('/')[0] ?? null;
    imported.rules.push({ name, effect: 'deny', when: `!(${inside.join(' || ')})` });
    note(imported, element, 'imported', `rules.yaml: ${name}`);
  } else if (action === 'allow')
    note(
      imported,
      element,
      'missing',
      `more than ${longestAllowList} networks: put the filter before the gateway`,
    );
  else note(imported, element, 'missing', 'action is neither allow nor forbid');
}

function networksOf(imported: Imported, element: PolicyElement): string[] | null {
  const networks: string[] = [];
  for (const child of element.children) {
    const [from, to] = [child.attributes.get('from') ?? '', child.attributes.get('to') ?? ''];
    const blocks =
      child.name === 'address-range' ? blocksOf(from, to) : isBlock(child.text) ? [child.text] : null;
    if (blocks === null) {
      // Half a list would let in, or keep out, the wrong callers.
      note(imported, child, 'missing', 'no address or range that can be read: the whole filter is left out');
      return null;
    }
    networks.push(...blocks);
  }
  if (networks.length > 0) return networks;
  note(imported, element, 'missing', 'it lists no address');
  return null;
}
