// Settings that every service has which the gateway asks before it decides: how it is reached, how it is told who asks,
// how long it may take and how long an answer is believed.
import { z } from 'zod';
import { secretReference } from '../../../core/secret.ts';

/** Keys that a section about such a service takes into its own schema. */
export const outsideKeys = {
  api_token: secretReference
    .optional()
    .describe('Credential of the gateway there, sent as Authorization: Bearer (env:NAME or file:/path).'),
  ca: z.string().optional().describe('Extra certificate authority for https, PEM file.'),
  client_cert: z
    .string()
    .optional()
    .describe('Certificate that the gateway shows there (mutual TLS), PEM file; needs `client_key`.'),
  client_key: z.string().optional().describe('Key of `client_cert`, PEM file.'),
  insecure_plain_http: z
    .boolean()
    .default(false)
    .describe('Permits plain HTTP beyond loopback: whoever is on the path can read and change answers.'),
  timeout_ms: z
    .int()
    .min(1)
    .max(30_000)
    .default(1_000)
    .describe('How long an answer may take, milliseconds.'),
  cache_ms: z
    .int()
    .min(0)
    .max(3_600_000)
    .default(5_000)
    .describe('How long an answer is used again for the very same question, milliseconds; 0: never.'),
  cache_entries: z.int().min(1).max(1_000_000).default(10_000).describe('Answers that are kept at most.'),
};

/** The parsed keys. */
export type OutsideConfig = z.output<z.ZodObject<typeof outsideKeys>>;

/** What the keys may not say together; `addresses` are the URLs of the section, by key. */
export function outsideFaults(
  config: OutsideConfig,
  addresses: Readonly<Record<string, string | undefined>>,
): { readonly path: string; readonly message: string }[] {
  const faults = Object.entries(addresses).flatMap(([path, url]) => {
    // What is no URL at all has a fault of its own.
    if (url === undefined || config.insecure_plain_http || !URL.canParse(url)) return [];
    if (isSecureOrLoopback(new URL(url))) return [];
    const message = 'an address beyond loopback is https://, or insecure_plain_http: true is said';
    return [{ path, message }];
  });
  if ((config.client_cert === undefined) !== (config.client_key === undefined))
    faults.push({ path: 'client_cert', message: 'client_cert and client_key belong together' });
  return faults;
}

/** Whether nobody on the path can read or change what is said there. */
export function isSecureOrLoopback(url: URL): boolean {
  if (url.protocol === 'https:') return true;
  return url.protocol === 'http:' && /^(127(\.\d{1,3}){3}|\[::1\]|localhost)$/.test(url.hostname);
}

/** Schema of an address: http or https, no credentials, query or fragment in it. */
export const serviceUrl = z.url({ protocol: /^https?$/ }).refine((text) => {
  if (!URL.canParse(text)) return true; // Refused already.
  const url = new URL(text);
  return url.username === '' && url.password === '' && url.search === '' && url.hash === '';
}, 'an address without credentials, query and fragment');
