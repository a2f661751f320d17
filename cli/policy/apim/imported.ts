// What an import gathers: parts of our files, and a note on every element that was met.
import type { PolicyElement } from './document.ts';

/**
 * What became of an element: `imported`; `differs`: imported, and the note says what is other here; `missing`: no
 * equivalent, and without it more is let through; `ignored`: no equivalent, and it decides nothing about access.
 */
export type Outcome = 'imported' | 'differs' | 'missing' | 'ignored';

/** One line of the report. */
export interface Note {
  readonly line: number;
  readonly element: string;
  readonly outcome: Outcome;
  /** Where it went or why not, as a sentence without its full stop. */
  readonly text: string;
}

/** What the person who imports knows and the document does not say. */
export interface ImportAnswers {
  readonly audiences: readonly string[];
  readonly tenants: readonly string[];
}

/** Entries as they are written to YAML. */
export type Entry = Readonly<Record<string, unknown>>;

/** The growing import. */
export interface Imported {
  readonly answers: ImportAnswers;
  readonly issuers: Map<string, Entry>;
  readonly limits: Map<string, Entry>;
  readonly rules: Entry[];
  readonly notes: Note[];
  /** Claims that a good token of an issuer needs, for the tests that are written. */
  readonly sampleClaims: Map<string, Entry>;
  /** Address and header fields of a good request, for the same. */
  readonly sampleRequest: { from: string | null; readonly headers: Record<string, string> };
}

/** An import of nothing yet. */
export function newImport(answers: ImportAnswers): Imported {
  return {
    answers,
    issuers: new Map(),
    limits: new Map(),
    rules: [],
    notes: [],
    sampleClaims: new Map(),
    sampleRequest: { from: null, headers: {} },
  };
}

/** Adds a note on an element. */
export function note(imported: Imported, element: PolicyElement, outcome: Outcome, text: string): void {
  imported.notes.push({ line: element.line, element: element.name, outcome, text });
}

/** A name that is not taken yet: `rate-limit`, then `rate-limit-2`. */
export function freeName(taken: { has(name: string): boolean }, wanted: string): string {
  let name = wanted;
  for (let count = 2; taken.has(name); count++) name = `${wanted}-${count}`;
  return name;
}

/** Names of attributes that an element has and `known` does not list. */
export function otherAttributes(element: PolicyElement, known: readonly string[]): string[] {
  return [...element.attributes.keys()].filter((name) => !known.includes(name));
}
