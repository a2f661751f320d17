// APIM `check-header`: a header that must be there with one of some values.
import type { PolicyElement } from './document.ts';
import { isExpression } from './expression.ts';
import { freeName, note, type Imported } from './imported.ts';

/** Fields that carry credentials are not shown to rules. */
const credentialFields = new Set(['authorization', 'proxy-authorization', 'api-key', 'cookie', 'dpop']);

/** Imports one element to a deny rule over `request.headers`. */
export function checkHeader(imported: Imported, element: PolicyElement): void {
  const field = element.attributes.get('name')?.toLowerCase() ?? '';
  const values = element.children.filter((child) => child.name === 'value').map(({ text }) => text);
  if (field === '' || [field, ...values].some(isExpression)) {
    note(
      imported,
      element,
      'missing',
      'a name or value by expression or named value: write the rule by hand',
    );
    return;
  }
  if (credentialFields.has(field)) {
    note(imported, element, 'missing', `${field} carries credentials, which rules cannot read`);
    return;
  }
  const names = new Set(imported.rules.map((rule) => String(rule['name'])));
  const name = freeName(names, `header-${field.replace(/[^a-z0-9._-]/g, '-')}`.slice(0, 60));
  const value = `request.headers[${JSON.stringify(field)}]`;
  const isPresent = `${JSON.stringify(field)} in request.headers`;
  const ignoresCase = element.attributes.get('ignore-case')?.toLowerCase() === 'true';
  const isListed = ignoresCase
    ? `${value}.rematch(${JSON.stringify(`(?i)^(?:${values.map(escapeRegex).join('|')})$`)})`
    : `${value} in ${JSON.stringify(values)}`;
  imported.sampleRequest.headers[field] = values[0] ?? 'x';
  imported.rules.push({
    name,
    effect: 'deny',
    when: values.length === 0 ? `!(${isPresent})` : `!(${isPresent}) || !(${isListed})`,
  });
  note(imported, element, 'imported', `rules.yaml: ${name}`);
  for (const attribute of ['failed-check-httpcode', 'failed-check-error-message']) {
    if (element.attributes.has(attribute))
      note(imported, element, 'ignored', `${attribute}: the refusal is 403 access_denied`);
  }
}

const escapeRegex = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
