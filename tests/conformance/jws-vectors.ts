// Makes JWS and JWK vectors after the published ideas of project Wycheproof (json_web_signature, json_web_key): of one good
// access token, everything that a verifier was ever found to accept by mistake. Keys and signatures are made here, so every
// vector is about a token that would be accepted but for the one thing that is wrong.
import {
  checkPrimeSync,
  constants,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  privateEncrypt,
  randomInt,
  sign,
  type KeyObject,
} from 'node:crypto';
import { createSigningKey, encodePart, type Claims, type SigningKey } from '../support/mint-access-token.ts';

/** `valid` must be accepted, `invalid` refused; `not_allowed`: good as a signature, by an algorithm that no policy can list. */
export type Verdict = 'valid' | 'invalid' | 'not_allowed';

export interface Vector {
  readonly group: string;
  readonly comment: string;
  readonly jws: string;
  readonly result: Verdict;
}

/** What a vector is made from: claims of a good token, and who is good. */
export interface VectorSource {
  readonly claims: Claims;
  readonly keys: readonly SigningKey[];
}

const header = (key: SigningKey, changes: Claims = {}): Claims => ({
  alg: key.alg,
  typ: 'at+jwt',
  kid: key.kid,
  ...changes,
});
const inputOf = (head: unknown, claims: unknown): string => `${encodePart(head)}.${encodePart(claims)}`;
const joined = (input: string, signature: Buffer): string => `${input}.${signature.toString('base64url')}`;

/** A signature by any algorithm, whatever the key was made for. */
export function signatureBy(alg: string, input: string, key: KeyObject, saltLength?: number): Buffer {
  const bytes = Buffer.from(input);
  if (alg === 'EdDSA' || alg === 'Ed25519') return sign(null, bytes, key);
  const digest = `sha${alg.slice(2)}`;
  if (alg.startsWith('ES')) return sign(digest, bytes, { key, dsaEncoding: 'ieee-p1363' });
  if (alg.startsWith('PS'))
    return sign(digest, bytes, {
      key,
      padding: constants.RSA_PKCS1_PSS_PADDING,
      saltLength: saltLength ?? constants.RSA_PSS_SALTLEN_DIGEST,
    });
  return sign(digest, bytes, key);
}

/** Every vector of one key. */
export function vectorsOf(key: SigningKey, source: VectorSource): Vector[] {
  const group = key.alg;
  const named = (comment: string, jws: string, result: Verdict = 'invalid'): Vector => ({
    group,
    comment,
    jws,
    result,
  });
  return [
    ...formVectors(key, source, named),
    ...primitiveVectors(key, source, named),
    ...(key.alg.startsWith('ES') ? ecdsaVectors(key, source, named) : []),
    ...(key.alg.startsWith('RS') ? pkcs1Vectors(key, source, named) : []),
    ...(key.alg.startsWith('PS') ? pssVectors(key, source, named) : []),
  ];
}

type Named = (comment: string, jws: string, result?: Verdict) => Vector;

/** Parts that are changed, missing, doubled or written otherwise. */
function formVectors(key: SigningKey, { claims }: VectorSource, named: Named): Vector[] {
  const input = inputOf(header(key), claims);
  const signature = signatureBy(key.alg, input, key.privateKey);
  const good = joined(input, signature);
  const [head = '', payload = '', tail = ''] = good.split('.');
  const flipped = (at: number): Buffer => {
    const copy = Buffer.from(signature);
    copy[at] = (copy[at] ?? 0) ^ 1;
    return copy;
  };
  const none = (alg: string, signed: string): string => `${inputOf(header(key, { alg }), claims)}.${signed}`;
  const changed = `${payload.slice(0, -2)}${payload.endsWith('A') ? 'B' : 'A'}${payload.slice(-1)}`;
  return [
    named('acceptsValid', good, 'valid'),
    named('rejectsModifiedFirstByteOfSignature', joined(input, flipped(0))),
    named('rejectsModifiedMiddleByteOfSignature', joined(input, flipped(signature.length >> 1))),
    named('rejectsModifiedLastByteOfSignature', joined(input, flipped(signature.length - 1))),
    named('rejectsMissingSignature', `${head}.${payload}.`),
    named('rejectsMissingSignatureAndSeparator', `${head}.${payload}`),
    named('rejectsTruncatedSignature', joined(input, signature.subarray(0, -1))),
    named('rejectsExtendedSignature', joined(input, Buffer.concat([signature, Buffer.alloc(1)]))),
    named('rejectsPrefixedSignature', joined(input, Buffer.concat([Buffer.alloc(1), signature]))),
    named('rejectsAllZeroSignature', joined(input, Buffer.alloc(signature.length))),
    named('rejectsAllOnesSignature', joined(input, Buffer.alloc(signature.length, 0xff))),
    named('rejectsModifiedPayload', `${head}.${changed}.${tail}`),
    named('rejectsMissingPayload', `${head}..${tail}`),
    named('rejectsMissingPayloadAndSeparator', `${head}.${tail}`),
    named('rejectsModifiedHeader', `${encodePart(header(key, { x: 1 }))}.${payload}.${tail}`),
    named('rejectsMissingHeader', `.${payload}.${tail}`),
    named('rejectsMissingHeaderAndSeparator', `${payload}.${tail}`),
    named('rejectsMissingHeaderAndSignature', `.${payload}.`),
    named('rejectsPayloadAlone', payload),
    named('rejectsEmptyString', ''),
    named('rejectsExtraEmptyComponent', `${good}.`),
    named('rejectsExtraComponent', `${good}.foo`),
    named('rejectsFiveComponents', `${good}.foo.bar`),
    named(
      'rejectsPaddedParts',
      good
        .split('.')
        .map((part) => `${part}=`)
        .join('.'),
    ),
    named('rejectsBase64Alphabet', `${input}.${inBase64(signature)}`),
    named('rejectsLeadingBlank', ` ${good}`),
    named('rejectsTrailingNewline', `${good}\n`),
    named('rejectsFlattenedJson', JSON.stringify({ protected: head, payload, signature: tail })),
    named(
      'rejectsGeneralJson',
      JSON.stringify({
        payload,
        signatures: [{ protected: head, header: { unknown: 'x' }, signature: tail }],
      }),
    ),
    ...['none', 'None', 'NONE', 'nOnE', ''].flatMap((alg) => [
      named(`rejectsAlg "${alg}" without signature`, none(alg, '')),
      named(`rejectsAlg "${alg}" with a signature`, none(alg, tail)),
    ]),
    named('rejectsNoAlg', joined(inputOf(header(key, { alg: undefined }), claims), signature)),
    named('rejectsEmptyHeader', `${encodePart({})}.${payload}.${tail}`),
    named(
      'rejectsUnencodedPayload',
      `${encodePart(header(key, { b64: false, crit: ['b64'] }))}.${payload}.${tail}`,
    ),
    ...[' ', '    ', '?', '#', '%', '=', '+', '/', '\t', '\n', '\0', 'é'].flatMap((odd) =>
      [
        ['at the start of the header', `${odd}${good}`],
        ['at the end of the header', `${head}${odd}.${payload}.${tail}`],
        ['in the payload', `${head}.${payload.slice(0, 8)}${odd}${payload.slice(8)}.${tail}`],
        ['at the end of the payload', `${head}.${payload}${odd}.${tail}`],
        ['at the start of the signature', `${input}.${odd}${tail}`],
        ['in place of a character of the signature', `${input}.${odd}${tail.slice(1)}`],
        ['at the end of the signature', `${input}.${tail}${odd}`],
      ].map(([where = '', jws = '']) =>
        named(`rejectsInvalidCharacter ${JSON.stringify(odd)} ${where}`, jws),
      ),
    ),
    ...signedAsWritten(key, claims).map(([comment, jws, result]) => named(comment, jws, result)),
    ...embedded(key, claims).map(([comment, jws]) => named(comment, jws)),
  ];
}

/** Good signatures over odd spellings: what JSON permits is accepted, what base64url does not is not. */
function signedAsWritten(key: SigningKey, claims: Claims): [string, string, Verdict][] {
  const json = JSON.stringify(header(key));
  const signed = (head: string, payload: string): string =>
    joined(`${head}.${payload}`, signatureBy(key.alg, `${head}.${payload}`, key.privateKey));
  const [head, payload] = [encodePart(json), encodePart(claims)];
  // One byte more or less than a multiple of three leaves bits that mean nothing.
  const uneven = encodePart(
    JSON.stringify(claims).padEnd(Math.ceil(JSON.stringify(claims).length / 3) * 3 + 1),
  );
  const last = uneven.slice(-1);
  const spare = `${uneven.slice(0, -1)}${last === 'g' ? 'h' : 'B'}`;
  return [
    [
      'acceptsSpacesInJsonHeader',
      signed(encodePart(json.replaceAll(':', ' : ').replaceAll(',', ' , ')), payload),
      'valid',
    ],
    ['acceptsWhiteSpaceInJsonHeader', signed(encodePart(json.replaceAll(',', ',\n\t')), payload), 'valid'],
    ['acceptsWhiteSpaceAroundClaims', signed(head, encodePart(`\n ${JSON.stringify(claims)} \t`)), 'valid'],
    ['rejectsSignedUnusedBitsInPayload', signed(head, spare), 'invalid'],
    ['rejectsSignedPadding', signed(head, `${uneven}==`), 'invalid'],
    ['rejectsSignedSpacesInPayload', signed(head, `    ${payload}`), 'invalid'],
    ['rejectsSignedInvalidCharactersInHeader', signed(`${head}####`, payload), 'invalid'],
    ['rejectsSignedEmptyPayload', signed(head, ''), 'invalid'],
  ];
}

/** Tokens of an attacker who brings a key, or says where it is. */
function embedded(key: SigningKey, claims: Claims): [string, string][] {
  const own = createSigningKey(key.alg, key.kid);
  const signed = (changes: Claims): string => {
    const input = inputOf(header(key, changes), claims);
    return joined(input, signatureBy(own.alg, input, own.privateKey));
  };
  return [
    ['rejectsAttackersKeyUnderKnownKid', signed({})],
    ['rejectsEmbeddedJwk', signed({ jwk: own.jwk })],
    ['rejectsEmbeddedX5c', signed({ x5c: ['MIIB'] })],
    ['rejectsJku', signed({ jku: 'http://127.0.0.1:9/keys' })],
    ['rejectsX5u', signed({ x5u: 'http://127.0.0.1:9/cert' })],
    ['rejectsZip', signed({ zip: 'DEF' })],
    ['rejectsNested', signed({ cty: 'JWT' })],
    ['rejectsCrit', signed({ crit: ['exp'], exp: 1 })],
  ];
}

/** The right key with another algorithm: in the signature, in the header, or in both; and secrets made of public keys. */
function primitiveVectors(key: SigningKey, { claims, keys }: VectorSource, named: Named): Vector[] {
  const isRsa = key.alg.startsWith('RS') || key.alg.startsWith('PS');
  const others = isRsa
    ? ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'].filter((alg) => alg !== key.alg)
    : key.alg.startsWith('ES')
      ? ['ES256', 'ES384', 'ES512'].filter((alg) => alg !== key.alg)
      : [];
  const input = inputOf(header(key), claims);
  const confused = others.flatMap((alg) => {
    const claimed = inputOf(header(key, { alg }), claims);
    return [
      named(`Using${alg} under ${key.alg}`, joined(input, signatureBy(alg, input, key.privateKey))),
      named(`Using${alg} under ${alg}`, joined(claimed, signatureBy(alg, claimed, key.privateKey))),
      named(`Using${key.alg} under ${alg}`, joined(claimed, signatureBy(key.alg, claimed, key.privateKey))),
    ];
  });
  const borrowed = keys
    .filter((other) => other.kid !== key.kid)
    .flatMap((other) => {
      const claimed = inputOf(header(key, { alg: other.alg }), claims);
      return [
        named(
          `Key of ${other.alg} under this kid`,
          joined(input, signatureBy(other.alg, input, other.privateKey)),
        ),
        named(
          `Key and alg of ${other.alg} under this kid`,
          joined(claimed, signatureBy(other.alg, claimed, other.privateKey)),
        ),
      ];
    });
  return [...confused, ...borrowed, ...symmetric(key, claims).map(([comment, jws]) => named(comment, jws))];
}

/** Every text of the public key as the secret of an HMAC. */
function symmetric(key: SigningKey, claims: Claims): [string, string][] {
  const spki = key.publicKey.export({ type: 'spki', format: 'der' });
  const pem = String(key.publicKey.export({ type: 'spki', format: 'pem' }));
  const jwk = key.publicKey.export({ format: 'jwk' });
  const secrets: [string, string | Buffer][] = [
    ['PEM', pem],
    ['PEM without its last newline', pem.trimEnd()],
    ['DER', spki],
    ['JWK', JSON.stringify(jwk)],
    ['modulus or x', Buffer.from(String(jwk.n ?? jwk.x), 'base64url')],
    ['nothing', ''],
  ];
  return secrets.flatMap(([title, secret]) =>
    ['HS256', 'HS384', 'HS512'].map((alg): [string, string] => {
      const input = inputOf(header(key, { alg }), claims);
      const mac = createHmac(`sha${alg.slice(2)}`, secret)
        .update(input)
        .digest();
      return [`rejectsSymmetryConfusion ${alg} with the ${title}`, joined(input, mac)];
    }),
  );
}

/** Good signatures with a secret: no policy can list HS*, so they are refused and counted apart. */
export function symmetricVectors(claims: Claims): Vector[] {
  return ['HS256', 'HS384', 'HS512'].map((alg) => {
    const input = inputOf({ alg, typ: 'at+jwt', kid: 'kid-symmetric' }, claims);
    const mac = createHmac(`sha${alg.slice(2)}`, 'a secret that the issuer shares with us')
      .update(input)
      .digest();
    return { group: alg, comment: 'acceptsValid', jws: joined(input, mac), result: 'not_allowed' as const };
  });
}

const orders: Readonly<Record<string, bigint>> = {
  ES256: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
  ES384: 0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n,
  ES512: BigInt(`0x01${'ff'.repeat(32)}fa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409`),
};

/** r and s at the edges, and in other encodings. */
function ecdsaVectors(key: SigningKey, { claims }: VectorSource, named: Named): Vector[] {
  const input = inputOf(header(key), claims);
  const signature = signatureBy(key.alg, input, key.privateKey);
  const size = signature.length / 2;
  const n = orders[key.alg] ?? 0n;
  const number = (bytes: Buffer): bigint => BigInt(`0x${bytes.toString('hex')}`);
  const fixed = (value: bigint): Buffer =>
    Buffer.from(
      value
        .toString(16)
        .padStart(size * 2, '0')
        .slice(-size * 2),
      'hex',
    );
  const longer = (value: bigint): Buffer =>
    Buffer.from(
      value
        .toString(16)
        .padStart(size * 2 + 2, '0')
        .slice(-size * 2 - 2),
      'hex',
    );
  const [r, s] = [number(signature.subarray(0, size)), number(signature.subarray(size))];
  const pair = (left: bigint, right: bigint): string =>
    joined(input, Buffer.concat([fixed(left), fixed(right)]));
  const der = sign(`sha${key.alg.slice(2)}`, Buffer.from(input), { key: key.privateKey, dsaEncoding: 'der' });
  const edges: [string, bigint][] = [
    ['0', 0n],
    ['1', 1n],
    ['n-1', n - 1n],
    ['n', n],
    ['n+1', n + 1n],
  ];
  return [
    ...edges.flatMap(([left, one]) =>
      edges.map(([right, two]) => named(`r=${left}, s=${right}`, pair(one, two))),
    ),
    ...edges.map(([left, one]) => named(`r=${left}`, pair(one, s))),
    ...edges.map(([right, two]) => named(`s=${right}`, pair(r, two))),
    named('r and s swapped', pair(s, r)),
    named('r negated', pair(n - r, s)),
    // ECDSA itself accepts n - s: another spelling of a signature that the issuer made of this very token.
    named('s negated', pair(r, n - s), 'valid'),
    named('DER encoding', joined(input, der)),
    named(
      'r and s one byte longer',
      joined(input, Buffer.concat([Buffer.alloc(1), fixed(r), Buffer.alloc(1), fixed(s)])),
    ),
    named(
      'r and s one byte shorter',
      joined(input, Buffer.concat([fixed(r).subarray(1), fixed(s).subarray(1)])),
    ),
    named(
      'r and s with a zero behind',
      joined(input, Buffer.concat([fixed(r), Buffer.alloc(1), fixed(s), Buffer.alloc(1)])),
    ),
    named('r above the order, one byte longer', joined(input, Buffer.concat([longer(r + n), longer(s)]))),
    named('s above the order, one byte longer', joined(input, Buffer.concat([longer(r), longer(s + n)]))),
    named('r alone', joined(input, fixed(r))),
  ];
}

const digestInfos: Readonly<Record<string, string>> = {
  sha256: '3031300d060960864801650304020105000420',
  sha384: '3041300d060960864801650304020205000430',
  sha512: '3051300d060960864801650304020305000440',
};

/** Encoded messages that are nearly PKCS #1 v1.5, signed with the real key. */
function pkcs1Vectors(key: SigningKey, { claims }: VectorSource, named: Named): Vector[] {
  const input = inputOf(header(key), claims);
  const hash = `sha${key.alg.slice(2)}`;
  const digest = createHash(hash).update(input).digest();
  const info = Buffer.from(digestInfos[hash] ?? '', 'hex');
  const size = Buffer.from(String(key.jwk['n']), 'base64url').length;
  const raw = (message: Buffer): string =>
    joined(input, privateEncrypt({ key: key.privateKey, padding: constants.RSA_NO_PADDING }, message));
  const padded = (content: Buffer, start = [0, 1], fill = 0xff, end = [0]): Buffer =>
    Buffer.concat([
      Buffer.from(start),
      Buffer.alloc(size - start.length - end.length - content.length, fill),
      Buffer.from(end),
      content,
    ]);
  const content = Buffer.concat([info, digest]);
  // The parameters NULL left out, and the lengths corrected for it.
  const withoutNull = Buffer.from(
    info
      .toString('hex')
      .replace('0500', '')
      .replace(
        /^30(..)300d/,
        (_, length: string) => `30${(Number.parseInt(length, 16) - 2).toString(16)}300b`,
      ),
    'hex',
  );
  const longLength = Buffer.concat([Buffer.from([0x30, 0x81, info[1] ?? 0]), info.subarray(2)]);
  const short = Buffer.concat([Buffer.from([0, 1]), Buffer.alloc(8, 0xff), Buffer.from([0]), content]);
  const modulus = BigInt(`0x${Buffer.from(String(key.jwk['n']), 'base64url').toString('hex')}`);
  const value = BigInt(`0x${signatureBy(key.alg, input, key.privateKey).toString('hex')}`);
  const bigger = Buffer.from((value + modulus).toString(16).padStart((size + 1) * 2, '0'), 'hex');
  return [
    named('the encoding as it should be, made by hand', raw(padded(content)), 'valid'),
    named('block type 0', raw(padded(content, [0, 0], 0))),
    named('block type 2', raw(padded(content, [0, 2]))),
    named('first byte not zero', raw(padded(content, [0x01, 1]))),
    named('padding of other bytes', raw(padded(content, [0, 1], 0xfe))),
    named('no zero after the padding', raw(padded(content, [0, 1], 0xff, [0xff]))),
    named(
      'no padding, garbage at the end',
      raw(Buffer.concat([short, Buffer.alloc(size - short.length, 0x55)])),
    ),
    named('no padding, zeros at the end', raw(Buffer.concat([short, Buffer.alloc(size - short.length)]))),
    named('garbage within the padding', raw(padded(Buffer.concat([Buffer.from([0x55, 0]), content])))),
    named('no DigestInfo', raw(padded(digest))),
    named(
      'the DigestInfo of MD5',
      raw(
        padded(
          Buffer.concat([
            Buffer.from('3020300c06082a864886f70d020505000410', 'hex'),
            createHash('md5').update(input).digest(),
          ]),
        ),
      ),
    ),
    named(
      'the DigestInfo of SHA-1',
      raw(
        padded(
          Buffer.concat([
            Buffer.from('3021300906052b0e03021a05000414', 'hex'),
            createHash('sha1').update(input).digest(),
          ]),
        ),
      ),
    ),
    named('parameters left out', raw(padded(Buffer.concat([withoutNull, digest])))),
    named('a length in long form', raw(padded(Buffer.concat([longLength, digest])))),
    named('a hash of one byte less', raw(padded(content.subarray(0, -1)))),
    named('a signature above the modulus', joined(input, bigger)),
  ];
}

/** RFC 7518 §3.5: the salt is as long as the hash, and MGF1 uses the same hash. */
function pssVectors(key: SigningKey, { claims }: VectorSource, named: Named): Vector[] {
  const input = inputOf(header(key), claims);
  const length = Number(key.alg.slice(2)) / 8;
  const salted = [0, 1, length - 1, length + 1, constants.RSA_PSS_SALTLEN_MAX_SIGN].map((salt) =>
    named(`a salt of ${salt} bytes`, joined(input, signatureBy(key.alg, input, key.privateKey, salt))),
  );
  return [
    named(
      'a salt as long as the hash',
      joined(input, signatureBy(key.alg, input, key.privateKey, length)),
      'valid',
    ),
    ...salted,
  ];
}

/** A key as the faulty library of CVE-2017-15361 made them: each prime is k·M + 65537^a mod M. */
function rocaKey(): SigningKey {
  const e = 65_537n;
  let product = 1n;
  for (let prime = 2n, count = 0; count < 126; prime++)
    if (checkPrimeSync(prime)) {
      product *= prime;
      count++;
    }
  const powerOf = (exponent: bigint, modulus: bigint): bigint => {
    let [result, base] = [1n, e % modulus];
    for (let left = exponent; left > 0n; left >>= 1n) {
      if (left & 1n) result = (result * base) % modulus;
      base = (base * base) % modulus;
    }
    return result;
  };
  const faulty = (): bigint => {
    for (;;) {
      const prime =
        ((3n << 1022n) / product + BigInt(randomInt(2 ** 40))) * product +
        powerOf(BigInt(randomInt(2 ** 40)), product);
      if (prime % e !== 1n && checkPrimeSync(prime)) return prime;
    }
  };
  const [p, q] = [faulty(), faulty()];
  const phi = (p - 1n) * (q - 1n);
  const inverse = (value: bigint, modulus: bigint): bigint => {
    let [a, b, x, y] = [value % modulus, modulus, 1n, 0n];
    while (a > 1n) [a, b, x, y] = [b % a, a, y - (b / a) * x, x];
    return ((x % modulus) + modulus) % modulus;
  };
  const d = inverse(e, phi);
  const text = (value: bigint): string => {
    const hex = value.toString(16);
    return Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex').toString('base64url');
  };
  const jwk = {
    kty: 'RSA',
    n: text(p * q),
    e: text(e),
    d: text(d),
    p: text(p),
    q: text(q),
    dp: text(d % (p - 1n)),
    dq: text(d % (q - 1n)),
    qi: text(inverse(q, p)),
  };
  const privateKey = createPrivateKey({ key: jwk, format: 'jwk' });
  const key = { kid: 'roca', alg: 'RS256', privateKey, publicKey: createPublicKey(privateKey), jwk: {} };
  return { ...key, jwk: publicJwk(key) };
}

/** Entries of a key document that must not verify anything, although the signature would be good. */
export function badKeys(): [comment: string, key: SigningKey, entry: Record<string, unknown>][] {
  const rsa = createSigningKey('RS256', 'rsa');
  const weak = createSigningKey('RS256', 'weak', 1024);
  const ec = createSigningKey('ES256', 'ec');
  const larger = createSigningKey('ES384', 'larger');
  const ed = createSigningKey('EdDSA', 'ed');
  const roca = rocaKey();
  const privateJwk = (key: SigningKey): Record<string, unknown> => ({
    ...key.privateKey.export({ format: 'jwk' }),
  });
  const y = Buffer.from(String(ec.jwk['y']), 'base64url');
  const off = Buffer.from(y);
  off[31] = (off[31] ?? 0) ^ 1;
  const secp256k1 = { ...ec.jwk, crv: 'secp256k1' };
  return [
    ['use enc', rsa, { ...rsa.jwk, use: 'enc' }],
    ['use sig and enc', rsa, { ...rsa.jwk, use: ['sig', 'enc'] }],
    ['key_ops without verify', rsa, { ...rsa.jwk, key_ops: ['encrypt'] }],
    ['key_ops that is text', rsa, { ...rsa.jwk, key_ops: 'verify' }],
    ['alg of another family', rsa, { ...rsa.jwk, alg: 'ES256' }],
    ['alg of encryption', rsa, { ...rsa.jwk, alg: 'RSA-OAEP-256' }],
    ['alg none', rsa, { ...rsa.jwk, alg: 'none' }],
    ['alg HS256', rsa, { ...rsa.jwk, alg: 'HS256' }],
    ['kty oct with the modulus', rsa, { kty: 'oct', kid: rsa.kid, k: rsa.jwk['n'] }],
    ['kty of another family', rsa, { ...rsa.jwk, kty: 'EC' }],
    ['kty in small letters', rsa, { ...rsa.jwk, kty: 'rsa' }],
    ['no kty', rsa, { ...rsa.jwk, kty: undefined }],
    ['a published private key', rsa, { ...rsa.jwk, ...privateJwk(rsa) }],
    ['1024 bits', weak, weak.jwk],
    ['primes that anybody can find (CVE-2017-15361)', roca, roca.jwk],
    ['alg of a curve that there is not', ec, { ...ec.jwk, alg: 'ES521' }],
    ['alg of a smaller curve', ec, { ...ec.jwk, alg: 'ES224' }],
    ['a curve that is not its own', ec, { ...ec.jwk, crv: 'P-384' }],
    ['exponent 1', rsa, { ...rsa.jwk, e: 'AQ' }],
    ['an even exponent', rsa, { ...rsa.jwk, e: 'Ag' }],
    ['an exponent as large as the modulus', rsa, { ...rsa.jwk, e: rsa.jwk['n'] }],
    ['no exponent', rsa, { ...rsa.jwk, e: undefined }],
    ['no modulus', rsa, { ...rsa.jwk, n: undefined }],
    ['an empty modulus', rsa, { ...rsa.jwk, n: '' }],
    ['a modulus of another key', rsa, { ...rsa.jwk, n: createSigningKey().jwk['n'] }],
    ['x5c alone', rsa, { kty: 'RSA', kid: rsa.kid, use: 'sig', x5c: ['MIIB'] }],
    ['a point that is not on the curve', ec, { ...ec.jwk, y: off.toString('base64url') }],
    ['the point at infinity', ec, { ...ec.jwk, x: 'AA', y: 'AA' }],
    ['a coordinate that is missing', ec, { ...ec.jwk, y: undefined }],
    ['coordinates swapped', ec, { ...ec.jwk, x: ec.jwk['y'], y: ec.jwk['x'] }],
    ['another name of a curve', ec, secp256k1],
    ['a larger curve under ES256', larger, { ...larger.jwk, alg: 'ES256' }],
    ['X25519 for a signature', ed, { ...ed.jwk, crv: 'X25519' }],
    ['Ed25519 under ES256', ed, { ...ed.jwk, alg: 'ES256' }],
    ['a kid that is a number', rsa, { ...rsa.jwk, kid: 7 }],
    ['no kid', rsa, { ...rsa.jwk, kid: undefined }],
  ];
}

/** The JWK of a certificate-free public key, to see that a good entry stays good beside the bad ones. */
export const publicJwk = (key: Pick<SigningKey, 'kid' | 'alg' | 'privateKey'>): Record<string, unknown> => ({
  ...createPublicKey(key.privateKey).export({ format: 'jwk' }),
  kid: key.kid,
  alg: key.alg,
  use: 'sig',
});

/** In the alphabet of base64, also where chance has put none of its own characters into a signature. */
function inBase64(signature: Buffer): string {
  const text = signature.toString('base64');
  return /[+/=]/.test(text) ? text : `+${text.slice(1)}`;
}
