// RSA keys whose primes were made by a faulty library of chip cards (CVE-2017-15361, "ROCA"): whoever knows the public key
// can compute the private one. Issuers that keep their keys in hardware are the ones who may publish such a key.

/** The first odd primes: all of them divide the number that the faulty primes are built around. */
const primes = [
  3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107,
  109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
] as const;

/** By prime, what a power of 65537 can leave when it is divided by it. */
const remainders = primes.map((prime) => ({ divisor: BigInt(prime), left: powersOf65537(prime) }));

function powersOf65537(prime: number): ReadonlySet<bigint> {
  const powers = new Set<bigint>();
  for (let power = 1; !powers.has(BigInt(power)); power = (power * 65_537) % prime) powers.add(BigInt(power));
  return powers;
}

/**
 * Whether an RSA modulus (base64url) has the mark of such primes. A sound key has it once in about a hundred million.
 * Does not check: whether the primes can be found in practice, any other weakness.
 */
export function isFactorable(modulus: string): boolean {
  const hex = Buffer.from(modulus, 'base64url').toString('hex');
  const value = BigInt(`0x${hex === '' ? '0' : hex}`);
  // Both primes are powers of 65537 modulo each small prime, and so is their product.
  return remainders.every(({ divisor, left }) => left.has(value % divisor));
}
