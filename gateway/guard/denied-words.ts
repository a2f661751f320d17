// Guard kind `denied_words`: refuses a request in which a model would read one of these words or phrases.
import { z } from 'zod';
import { collapseSpace, foldByDefinition, foldText, isPlain } from './fold-text.ts';
import type { CompiledGuard, GuardKind } from './guard.ts';
import { holdsTokenIds, someModelText } from '../model-texts.ts';
import { compileWords } from './word-matcher.ts';

const schema = z.strictObject({
  kind: z
    .literal('denied_words')
    .describe('Refuses texts that hold one of the words with `content_blocked`.'),
  words: z
    .array(
      z
        .string()
        .max(256)
        .refine(
          (word) => foldByDefinition(word).trim() !== '',
          'a denied word has at least one visible character',
        ),
    )
    .min(1)
    .max(10_000)
    .describe(
      'Words or phrases; letter case, full-width forms, invisible characters and the kind of white space do not matter, and a word matches whole words only.',
    ),
  allow_token_ids: z
    .boolean()
    .default(false)
    .describe('Let prompts through that are given as token ids, in which no word can be recognised.'),
});

/**
 * Denied words over every text that the model would read.
 * Checks: messages with all their parts, names and tool calls, prompts, inputs, suffix, tools and unknown members, each
 * folded (fold-text.ts), content parts also as one text.
 * Does not check: look-alike letters of other scripts, words with other characters in between, images, the answer.
 */
export const deniedWords = {
  name: 'denied_words',
  schema,
  create(options): CompiledGuard {
    const words = options.words.map((word) => collapseSpace(foldByDefinition(word)).trim());
    const match = compileWords(words);
    const hasPhrases = words.some((word) => word.includes(' '));
    let found = -1;
    const visitFolded = (text: string): boolean => {
      found = match(hasPhrases ? collapseSpace(text) : text);
      return found !== -1;
    };
    const visit = (text: string): boolean => visitFolded(isPlain(text) ? text : foldText(text));
    return {
      check(body, knownPlain) {
        if (!options.allow_token_ids) {
          for (const param of ['prompt', 'input'] as const) {
            if (holdsTokenIds(body[param])) {
              const problem = `${param} holds token ids, which the guards of this route cannot read; send text`;
              return { code: 'body_invalid', reason: 'token_ids', param, params: { problem } };
            }
          }
        }
        // The number of the word is recorded, never the text in which it stood.
        return someModelText(body, knownPlain === true ? visitFolded : visit)
          ? { code: 'content_blocked', reason: `words.${found}` }
          : null;
      },
    };
  },
} as const satisfies GuardKind<typeof schema>;
