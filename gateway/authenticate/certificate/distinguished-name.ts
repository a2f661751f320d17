// Distinguished names (RFC 5280 §4.1.2.4) as lists of attributes. Values are whole texts: one with a control character, or
// in an encoding that can be read in two ways, is refused and never cut.
import { childrenOf, DerFault, derTag, expected, oidOf, type DerValue } from './der.ts';

/** Attributes that policies name by a short word; others by their dotted object identifier. */
export const attributeNames: Readonly<Record<string, string>> = {
  CN: '2.5.4.3',
  serialNumber: '2.5.4.5',
  C: '2.5.4.6',
  L: '2.5.4.7',
  ST: '2.5.4.8',
  O: '2.5.4.10',
  OU: '2.5.4.11',
  UID: '0.9.2342.19200300.100.1.1',
  DC: '0.9.2342.19200300.100.1.25',
  emailAddress: '1.2.840.113549.1.9.1',
};

const nameOfOid = new Map(Object.entries(attributeNames).map(([name, oid]) => [oid, name]));

/** The short word of an attribute that has one; others stay as they are. */
export function attributeType(type: string): string {
  return nameOfOid.get(type) ?? type;
}

/** One attribute: `CN` or a dotted object identifier, and its text. */
export type NameAttribute = readonly [type: string, value: string];

/** The attributes of a name in the order of the certificate. @throws DerFault */
export function readName(name: DerValue | undefined): NameAttribute[] {
  return childrenOf(expected(name, derTag.sequence)).flatMap((relative) =>
    childrenOf(expected(relative, derTag.set)).map((attribute): NameAttribute => {
      const [type, value] = childrenOf(expected(attribute, derTag.sequence));
      return [attributeType(oidOf(type)), textOf(value)];
    }),
  );
}

/** RFC 4514 §2: most specific attribute first, special characters escaped, so that no two names share a text. */
export function nameText(attributes: readonly NameAttribute[]): string {
  return attributes
    .toReversed()
    .map(([type, value]) => `${type}=${value.replaceAll(/[,+"\\<>;=]|^[ #]| $/g, '\\$&')}`)
    .join(',');
}

/** For finding a revocation list's issuer: RFC 5280 §7.1 compares names without regard to case and runs of blanks. */
export function comparableName(attributes: readonly NameAttribute[]): string {
  return nameText(
    attributes.map(([type, value]) => [type, value.trim().replaceAll(/ +/g, ' ').toLowerCase()] as const),
  );
}

function textOf(value: DerValue | undefined): string {
  const text = decoded(value);
  if (text === '' || !text.isWellFormed() || /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/.test(text))
    throw new DerFault('a name with characters that no name has');
  return text;
}

function decoded(value: DerValue | undefined): string {
  switch (value?.tag) {
    case derTag.utf8String: {
      try {
        return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(value.contents);
      } catch {
        throw new DerFault('a name that is not UTF-8');
      }
    }
    case derTag.printableString:
    case derTag.numericString:
    case derTag.ia5String:
      if (value.contents.some((byte) => byte > 0x7e)) throw new DerFault('a name beyond ASCII');
      return value.contents.toString('latin1');
    case derTag.bmpString:
      if (value.contents.length % 2 !== 0) throw new DerFault('half a character');
      return Buffer.from(value.contents).swap16().toString('utf16le');
    case undefined:
    default:
      throw new DerFault('a name in an encoding that is not read');
  }
}
