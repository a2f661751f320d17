// Signature algorithms of DPoP proofs: asymmetric ones only (RFC 9449 §4.3). Challenges and metadata name them.

/** In the order in which a client should prefer them. */
export const dpopAlgorithms = ['ES256', 'Ed25519', 'EdDSA', 'PS256', 'RS256', 'ES384', 'ES512'] as const;
/** One of them. */
export type DpopAlgorithm = (typeof dpopAlgorithms)[number];
