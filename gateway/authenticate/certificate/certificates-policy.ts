// The section `client_certificates` of policies/issuers.yaml: which certificates are credentials, and of whom. An entry that
// names nobody is refused, and every condition that an entry states must hold.
import { isIP } from 'node:net';
import { z } from 'zod';
import { attributeNames } from './distinguished-name.ts';
import { isPathPattern, parseSpiffeId, trustDomainForm } from './spiffe-id.ts';

/** A SHA-256 fingerprint as OpenSSL prints it, or without colons. */
const fingerprint = z
  .string()
  .regex(
    /^([0-9a-f]{2}:?){31}[0-9a-f]{2}$/i,
    'a fingerprint is the SHA-256 of a certificate: 64 hex digits, colons optional',
  )
  .transform((text) => text.replaceAll(':', '').toLowerCase());

const texts = z.array(z.string().min(1)).min(1);

const attributeType = z
  .string()
  .refine(
    (type) => Object.hasOwn(attributeNames, type) || /^\d+(\.\d+)+$/.test(type),
    `an attribute is one of ${Object.keys(attributeNames).join(', ')}, or an object identifier`,
  );

const label = '[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?';
const dnsPattern = z
  .string()
  .toLowerCase()
  .regex(
    new RegExp(String.raw`^(\*\.(?=[^.]+\.))?${label}(\.${label})*$`),
    'a DNS name, or `*.` before a name of at least two labels',
  );

const names = z
  .strictObject({
    /** DNS names; `*.lab.example` stands for exactly one label before `.lab.example`. */
    dns: z.array(dnsPattern).min(1).optional(),
    /** URIs, as exact text. */
    uri: texts.optional(),
    /** Mail addresses, as exact text. */
    email: texts.optional(),
    /** IP addresses. */
    ip: z
      .array(z.string().refine((address) => isIP(address) !== 0 && !address.includes('%'), 'an IP address'))
      .min(1)
      .optional(),
  })
  .refine((kinds) => Object.values(kinds).some((kind) => kind !== undefined), 'name dns, uri, email or ip');

const spiffe = z.strictObject({
  /** Trust domain, e.g. `prod.example`; each has its own authorities, see `issued_by`. */
  trust_domain: z
    .string()
    .regex(trustDomainForm, 'a trust domain is lower-case letters, digits, dots, hyphens and underscores'),
  /** Paths of the id: exact, `*` for one segment, `**` at the end for one or more. */
  paths: z
    .array(z.string().refine(isPathPattern, 'a path such as /ns/llm/sa/batch, /ns/*/sa/batch or /ns/llm/**'))
    .min(1),
});

const entry = z
  .strictObject({
    /** A SPIFFE id (X.509-SVID); the id becomes the subject. */
    spiffe: spiffe.optional(),
    /** Subject alternative names: one of each kind that is listed must be in the certificate. */
    san: names.optional(),
    /** Attributes of the subject, e.g. `{ O: Example, OU: [Lab, Berlin] }`: all values of each, no more and no fewer. */
    subject: z
      .record(
        attributeType,
        z.union([z.string().min(1), texts]).transform((value) => [value].flat()),
      )
      .refine((attributes) => Object.keys(attributes).length > 0, 'name at least one attribute')
      .optional(),
    /** SHA-256 fingerprints of the certificates themselves. */
    fingerprints: z.array(fingerprint).min(1).optional(),
    /** SHA-256 fingerprints of authorities, of which one must be above the certificate; default: any of `gateway.tls.client_ca`. */
    issued_by: z.array(fingerprint).min(1).optional(),
    /** Roles of the holder. */
    roles: z.array(z.string().min(1)).default([]),
    /** Groups of the holder, for assignments in roles.yaml. */
    groups: z.array(z.string().min(1)).default([]),
    /** The client application that the holder is, for rules and limits. */
    client_id: z.string().min(1).max(512).optional(),
  })
  .superRefine((value, context) => {
    if (
      [value.spiffe, value.san, value.subject, value.fingerprints].every(
        (condition) => condition === undefined,
      )
    )
      context.addIssue({
        code: 'custom',
        message: 'say whose certificates these are: spiffe, san, subject or fingerprints',
      });
    for (const [index, uri] of (value.san?.uri ?? []).entries()) {
      if (uri.startsWith('spiffe:') && parseSpiffeId(uri) !== null)
        context.addIssue({
          code: 'custom',
          path: ['san', 'uri', index],
          message: 'a SPIFFE id is written as spiffe: { trust_domain: …, paths: […] }, which checks more',
        });
    }
  });

/** Schema of the section. */
export const certificatesSchema = z
  .record(
    z
      .string()
      .regex(
        /^[a-z][a-z0-9._-]{0,63}$/,
        'the name of an entry is lower-case letters, digits, dots and hyphens, first a letter',
      ),
    entry,
  )
  .default({});
/** The parsed section. */
export type CertificatesPolicy = z.output<typeof certificatesSchema>;
/** One entry of it. */
export type CertificatePolicy = CertificatesPolicy[string];
