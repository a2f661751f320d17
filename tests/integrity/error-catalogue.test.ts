import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { GatewayError, errorCatalogue, type ErrorCode, type ErrorDefinition } from '../../core/errors.ts';
import { packageRoot } from '../../core/package.ts';
import { invalidTokenReasons } from '../../gateway/authenticate/invalid-token.ts';

const entries = Object.entries(errorCatalogue) as [ErrorCode, ErrorDefinition][]; // Object.entries forgets the keys.
const pages = join(packageRoot, 'docs/errors');
const source = ['gateway', 'model-server', 'identity'].map((folder) => join(packageRoot, folder));

function sourceFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(folder, name));
}

describe('the error catalogue', () => {
  for (const [code, definition] of entries) {
    it(`${code} has a text that a challenge may carry (RFC 6750 §3)`, () => {
      assert.match(definition.message, /^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/);
      assert.match(code, /^[a-z][a-z_]+[a-z]$/);
      assert.ok(definition.message.length <= 160);
      assert.match(definition.detail ?? definition.message, /^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/);
    });

    it(`${code} has columns that agree with one another`, () => {
      // RFC 9110 §15.5.2: a 401 carries a challenge.
      if (definition.status === 401) assert.notEqual(definition.challenge, null);
      if (definition.challenge === 'insufficient_scope') assert.equal(definition.status, 403);
      assert.ok(definition.status >= 400 && definition.status <= 504);
      assert.equal(definition.openAiType === 'server_error', definition.status >= 500);
      if (definition.status >= 400 && definition.status < 500 && definition.retryable)
        assert.ok([408, 429].includes(definition.status));
    });

    it(`${code} has a page that says what it means, who can fix it, why it comes, how to tell and whether to retry`, () => {
      const page = readFileSync(join(pages, `${code}.md`), 'utf8');
      assert.ok(page.startsWith(`# ${code}\n\nStatus ${definition.status}. `), 'the title and the status');
      for (const part of [
        '**Who can fix it:** ',
        '## Usual causes\n\n1. ',
        '## Which one is it\n',
        '```sh\n',
        '## Does retrying help\n\n',
      ]) {
        assert.ok(page.includes(part), part);
      }
      const retry = page.split('## Does retrying help\n\n')[1] ?? '';
      assert.equal(definition.retryable, !retry.startsWith('No'), 'what the page says about retrying');
    });

    it(`${code} is thrown somewhere`, () => {
      const quoted = [`'${code}'`, `"${code}"`];
      assert.ok(
        source
          .flatMap(sourceFiles)
          .some((file) => quoted.some((text) => readFileSync(file, 'utf8').includes(text))),
        'a code that nothing throws is retired',
      );
    });
  }

  it('has no page for a code that it does not know', () => {
    const unknown = readdirSync(pages).filter(
      (name) => !Object.hasOwn(errorCatalogue, name.replace(/\.md$/, '')),
    );
    assert.deepEqual(unknown, []);
  });

  it('lets no parameter carry a character that a challenge may not hold, nor a long text', () => {
    const hostile = new GatewayError('model_not_found', {
      params: { model: `x"\\\r\n\u0000é${'a'.repeat(1_000)}` },
    });
    assert.match(hostile.publicMessage, /^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/);
    assert.ok(hostile.publicMessage.length < 250);
    assert.ok(!hostile.publicMessage.includes('{'));
  });
});

describe('the reasons for which a token is refused', () => {
  const manual = readFileSync(join(packageRoot, 'docs/reference/token-validation.md'), 'utf8');
  for (const reason of invalidTokenReasons) {
    it(`are explained to the operator: ${reason}`, () => assert.ok(manual.includes(`\`${reason}\``)));
  }
});
