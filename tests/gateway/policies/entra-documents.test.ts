// Every piece of policy that the pages on Entra print is accepted, and every policy test that they print passes.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parse } from 'yaml';
import { packageRoot } from '../../../core/package.ts';
import { issuersSchema } from '../../../gateway/authenticate/index.ts';
import { loadBundle } from '../../../gateway/policies/bundle.ts';
import { createEvaluator } from '../../../gateway/policies/evaluation/evaluate.ts';
import { answerTo, reasonCodes } from '../../../gateway/policies/evaluation/run-tests.ts';
import { policyTestsSchema } from '../../../gateway/policies/evaluation/test-schema.ts';
import { context, writePolicies } from './policy-directory.ts';

const read = (page: string): string => readFileSync(join(packageRoot, page), 'utf8');
const blocksOf = (text: string): string[] =>
  [...text.matchAll(/^```yaml\n([\s\S]*?)^```/gm)].map(([, block = '']) => block);

describe('docs/how-to/entra.md', () => {
  const sections = read('docs/how-to/entra.md').split(/^## /m).slice(1);
  let ran = 0;
  for (const section of sections) {
    const [title = ''] = section.split('\n');
    it(`${title}: the files load, and what its tests say is so`, () => {
      const blocks = blocksOf(section);
      const fileOf = (key: string): string | undefined => blocks.find((block) => block.startsWith(`${key}:`));
      const rules = fileOf('rules');
      const issuers = fileOf('issuers');
      assert.ok(issuers !== undefined, 'a section shows issuers.yaml');
      const { directory, remove } = writePolicies({
        'issuers.yaml': issuers,
        ...(rules === undefined ? {} : { 'rules.yaml': rules }),
      });
      try {
        const bundle = loadBundle(directory, context);
        const evaluator = createEvaluator({ bundle, context });
        for (const block of blocks.filter((each) => each.startsWith('- '))) {
          for (const test of policyTestsSchema.parse(parse(block))) {
            const answer = answerTo(test, evaluator, { issuers: bundle.issuers, embeddedIssuer: null });
            assert.equal(
              answer.refusal?.code ?? 'permit',
              test.expect,
              `${test.name}: ${answer.refusal?.reason ?? ''}`,
            );
            if (test.because !== undefined) assert.ok(reasonCodes(answer).includes(test.because), test.name);
            if (test.by !== undefined) assert.equal(answer.decidedBy, test.by, test.name);
            ran++;
          }
        }
      } finally {
        remove();
      }
    });
  }

  it('shows tests', () => {
    assert.ok(ran >= 12, String(ran));
  });
});

describe('docs/reference/token-validation.md', () => {
  for (const block of blocksOf(read('docs/reference/token-validation.md')).filter((each) =>
    each.startsWith('issuers:'),
  ))
    it(`shows issuers that are accepted: ${block.split('\n')[1]?.trim() ?? ''}`, () => {
      issuersSchema.parse(parse(block));
    });
});
