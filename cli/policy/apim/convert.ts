// Walks an APIM policy document and hands each element to its converter.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { packageRoot } from '../../../core/package.ts';
import type { PolicyElement } from './document.ts';
import { checkHeader } from './check-header.ts';
import { newImport, note, type Entry, type ImportAnswers, type Imported, type Note } from './imported.ts';
import { ipFilter } from './ip-filter.ts';
import { quota, rateLimit, tokenLimit } from './limits.ts';
import { validateAzureAdToken } from './validate-azure-ad-token.ts';
import { validateJwt } from './validate-jwt.ts';

type Converter = (imported: Imported, element: PolicyElement) => void;

const converters: Readonly<Record<string, Converter>> = {
  'validate-azure-ad-token': validateAzureAdToken,
  'validate-jwt': validateJwt,
  'llm-token-limit': tokenLimit,
  'azure-openai-token-limit': tokenLimit,
  'rate-limit': rateLimit,
  'rate-limit-by-key': rateLimit,
  quota,
  'quota-by-key': quota,
  'ip-filter': ipFilter,
  'check-header': checkHeader,
};

/** Elements that decide nothing about who may call, how often, and with what. */
const harmless = new Set([
  'authentication-basic',
  'authentication-certificate',
  'authentication-managed-identity',
  'azure-openai-emit-token-metric',
  'azure-openai-semantic-cache-lookup',
  'azure-openai-semantic-cache-store',
  'cache-lookup',
  'cache-lookup-value',
  'cache-remove-value',
  'cache-store',
  'cache-store-value',
  'cors',
  'emit-metric',
  'find-and-replace',
  'forward-request',
  'llm-emit-token-metric',
  'llm-semantic-cache-lookup',
  'llm-semantic-cache-store',
  'log-to-eventhub',
  'proxy',
  'redirect-content-urls',
  'retry',
  'rewrite-uri',
  'set-backend-service',
  'set-body',
  'set-header',
  'set-method',
  'set-query-parameter',
  'set-variable',
  'trace',
  'wait',
]);
const sections = new Set(['backend', 'outbound', 'on-error']);

/** Converts the elements of a document; never fails: what cannot be converted is in the notes. */
export function convert(elements: readonly PolicyElement[], answers: ImportAnswers): Imported {
  const imported = newImport(answers);
  for (const element of elements) convertElement(imported, element);
  if (!imported.notes.some(isValidation)) useShippedIssuers(imported);
  return imported;
}

const isValidation = ({ element }: Note): boolean =>
  element === 'validate-azure-ad-token' || element === 'validate-jwt';

/** A document without token validation relies on subscription keys; here nobody calls without a credential. */
function useShippedIssuers(imported: Imported): void {
  const { issuers } = parse(readFileSync(join(packageRoot, 'policies', 'issuers.yaml'), 'utf8')) as {
    readonly issuers: Readonly<Record<string, Entry>>; // A file of ours.
  };
  for (const [name, entry] of Object.entries(issuers)) imported.issuers.set(name, entry);
  imported.notes.push({
    line: 1,
    element: 'policies',
    outcome: 'differs',
    text: 'the document validates no token: tokens of the embedded issuer are required, as in the shipped issuers.yaml',
  });
}

function convertElement(imported: Imported, element: PolicyElement): void {
  const { name, children } = element;
  if (name === 'base') return;
  if (name === 'policies' || name === 'fragment' || name === 'inbound') {
    for (const child of children) convertElement(imported, child);
    return;
  }
  if (sections.has(name)) {
    for (const child of children)
      if (child.name !== 'base') note(imported, child, 'ignored', `it stands in ${name}, after the decision`);
    return;
  }
  const converter = converters[name];
  if (converter === undefined) noteUnknown(imported, element);
  else if (name.startsWith('validate-') && imported.notes.some(isValidation))
    note(
      imported,
      element,
      'missing',
      'a second token validation: one token cannot satisfy two entries of issuers.yaml',
    );
  else converter(imported, element);
}

function noteUnknown(imported: Imported, element: PolicyElement): void {
  const { name } = element;
  if (harmless.has(name))
    note(imported, element, 'ignored', 'no equivalent; it decides nothing about access');
  else if (name === 'choose')
    note(imported, element, 'missing', 'conditions are C#: write rules with `when` in rules.yaml');
  else if (name === 'include-fragment')
    note(
      imported,
      element,
      'missing',
      `import the fragment ${element.attributes.get('fragment-id') ?? ''} as well`,
    );
  else if (name === 'validate-client-certificate')
    note(imported, element, 'missing', 'client certificates: see gateway.tls.client_ca and issuers.yaml');
  else note(imported, element, 'missing', 'no equivalent');
}
