// One spelling for texts that a reader takes for the same: compatibility forms (full-width, ligatures), letter case,
// invisible characters and runs of white space. Homoglyphs of other scripts are not folded.

// Printable ASCII and common white space needs no folding beyond letter case, which the matcher does by itself.
const plain = /^[\t\n\r\x20-\x7e]*$/;
// Zero-width joiners, soft hyphens, variation selectors, tags; and control characters that are not white space.
const invisible = /[\p{Default_Ignorable_Code_Point}\p{Cf}]|(?![\t\n\v\f\r])\p{Cc}/gu;

/** Whether a text is already in the form that the matcher reads. */
export function isPlain(text: string): boolean {
  return plain.test(text);
}

/** The folded form of a text; same length is not kept. */
export function foldText(text: string): string {
  return (
    text
      .replaceAll(invisible, '')
      .normalize('NFKC')
      .toLowerCase()
      .normalize('NFKC')
      // What lower-casing leaves apart: the dotted capital I of Turkish and the final sigma of Greek.
      .replaceAll('i\u0307', 'i')
      .replaceAll('ς', 'σ')
      .replaceAll(invisible, '')
  );
}

/** Runs of white space as one blank, without allocation when there are none. */
export function collapseSpace(text: string): string {
  return /[^\S ]|\s\s/.test(text) ? text.replaceAll(/\s+/g, ' ') : text;
}
