// Reads an APIM policy document into elements. APIM's own editor takes C# expressions with raw quotes and angle brackets,
// which is no XML; such a text is escaped inside its expressions and read again.
import { DOMParser, type Element as XmlElement } from '@xmldom/xmldom';
import { expressionEnd } from './expression.ts';

/** One element of a policy document. */
export interface PolicyElement {
  readonly name: string;
  readonly line: number;
  readonly attributes: ReadonlyMap<string, string>;
  readonly children: readonly PolicyElement[];
  /** Its text without its children's, trimmed. */
  readonly text: string;
}

/** A document that is no policy document. */
export class DocumentFault extends Error {
  readonly line: number;

  constructor(message: string, line: number) {
    super(message);
    this.line = line;
  }
}

/** APIM itself takes 512 KiB. */
const longestDocument = 1_048_576;

/**
 * Reads a document: `<policies>`, a `<fragment>`, or the elements alone.
 * Checks: well-formed XML but for raw text inside `@(…)` and `@{…}`; no document type, so no entities; size.
 * Does not check: that APIM knows the elements.
 * @throws DocumentFault
 */
export function readDocument(source: string): readonly PolicyElement[] {
  const text = source
    .replace(/^\uFEFF/, '')
    .replace(/^\s*<\?xml[^>]*\?>/, (all) => all.replace(/[^\n]/g, ''));
  if (text.length > longestDocument) throw new DocumentFault('the file is longer than 1 MiB', 1);
  const doctype = /<!(DOCTYPE|ENTITY)/i.exec(text);
  if (doctype !== null)
    throw new DocumentFault(
      'a document type is not accepted',
      text.slice(0, doctype.index).split('\n').length,
    );
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof DocumentFault)) throw error;
    const escaped = withEscapedExpressions(text);
    if (escaped === text) throw error;
    return parse(escaped);
  }
}

/** Puts values in the place of `{{name}}`, which only APIM knows; those without a value stay. */
export function withNamedValues(source: string, values: ReadonlyMap<string, string>): string {
  return source.replace(/\{\{\s*([\w.-]+)\s*\}\}/g, (whole, name: string) => {
    const value = values.get(name);
    return value === undefined ? whole : escapeText(value);
  });
}

function parse(text: string): readonly PolicyElement[] {
  let fault: DocumentFault | undefined;
  const parser = new DOMParser({
    locator: true,
    onError: (_level, message, context: { locator?: { lineNumber?: number } }) => {
      fault ??= new DocumentFault(plain(message), context.locator?.lineNumber ?? 1);
      throw fault;
    },
  });
  try {
    const root = parser.parseFromString(`<imported>${text}</imported>`, 'text/xml').documentElement;
    return root === null ? [] : elementOf(root).children;
  } catch (error) {
    // The parser wraps what its reporter throws.
    if (fault !== undefined) throw fault;
    if (error instanceof RangeError) throw new DocumentFault('its elements are nested too deeply', 1);
    throw new DocumentFault(plain(error instanceof Error ? error.message : 'it cannot be read'), 1);
  }
}

const plain = (message: string): string =>
  message.split('\n')[0]?.replace(/\s*\(?@#?\[line.*$/, '') ?? message;

function elementOf(element: XmlElement): PolicyElement {
  const attributes = new Map<string, string>();
  for (let index = 0; index < element.attributes.length; index++) {
    const attribute = element.attributes.item(index);
    if (attribute === null) continue;
    const name = attribute.name.toLowerCase();
    // A separator may be a blank.
    attributes.set(name, name === 'separator' ? attribute.value : attribute.value.trim());
  }
  const children: PolicyElement[] = [];
  let text = '';
  for (let index = 0; index < element.childNodes.length; index++) {
    const node = element.childNodes.item(index);
    if (node === null) continue;
    if (node.nodeType === node.ELEMENT_NODE)
      children.push(elementOf(node as XmlElement)); // By its node type.
    else if (node.nodeType === node.TEXT_NODE || node.nodeType === node.CDATA_SECTION_NODE)
      text += node.nodeValue ?? '';
  }
  return {
    name: element.tagName.toLowerCase(),
    line: element.lineNumber ?? 1,
    attributes,
    children,
    text: text.trim(),
  };
}

/** Escapes what stands inside `@(…)` and `@{…}`; lines stay where they are. */
function withEscapedExpressions(text: string): string {
  let escaped = '';
  let at = 0;
  while (at < text.length) {
    const start = /[=>]\s*["']?\s*@[({]/.exec(text.slice(at));
    if (start === null) break;
    const open = at + start.index + start[0].length - 1;
    const end = expressionEnd(text, open);
    if (end === null) break;
    escaped += text.slice(at, open) + escapeText(text.slice(open, end));
    at = end;
  }
  return escaped + text.slice(at);
}

const escapeText = (text: string): string =>
  text
    .replace(/&(?!(amp|lt|gt|quot|apos|#\d+|#x[0-9a-f]+);)/gi, '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&apos;');

/** The first child of a name. */
export function childOf(element: PolicyElement, name: string): PolicyElement | undefined {
  return element.children.find((child) => child.name === name);
}

/** Texts of the entries of a list such as `<audiences><audience>…</audience></audiences>`. */
export function textsOf(element: PolicyElement, list: string, entry: string): string[] {
  return element.children
    .filter((child) => child.name === list)
    .flatMap(({ children }) => children.filter((child) => child.name === entry))
    .map(({ text }) => text)
    .filter((text) => text !== '');
}
