// What `client_audiences` may name: what `client_ids` and `audiences` list, since anything else would never match.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ConfigurationError, formatFinding } from '../../../core/yaml-file.ts';
import { loadBundle } from '../../../gateway/policies/bundle.ts';
import { context, goodFiles, writePolicies } from './policy-directory.ts';

function faults(pairs: string, clients = '[cli, batch]'): string[] {
  const entry = (goodFiles['issuers.yaml'] ?? '')
    .replace('[cli]', clients)
    .replace('[api://sallyport]', '[api://sallyport, api://batch]');
  const { directory, remove } = writePolicies({ 'issuers.yaml': `${entry}    client_audiences: ${pairs}\n` });
  try {
    loadBundle(directory, context);
    return [];
  } catch (error) {
    assert.ok(error instanceof ConfigurationError, String(error));
    return error.findings.map((finding) => formatFinding(finding).replace(`${directory}/`, ''));
  } finally {
    remove();
  }
}

describe('client_audiences', () => {
  it('may pair what is listed', () => {
    assert.deepEqual(faults('{ batch: [api://batch], cli: [api://sallyport, api://batch] }'), []);
    assert.deepEqual(faults('{}'), []);
  });

  it('may name any client where every client is accepted', () => {
    assert.deepEqual(faults('{ whoever: [api://batch] }', '{ any: true }'), []);
  });

  const refusals: [pairs: string, line: RegExp][] = [
    [
      '{ bach: [api://batch] }',
      /^issuers\.yaml:7:25 issuers\.embedded\.client_audiences\.bach: there is no client in client_ids "bach"; did you mean "batch"\?$/,
    ],
    [
      '{ batch: [api://batch/] }',
      /client_audiences\.batch\.0: there is no audience in audiences "api:\/\/batch\/"; did you mean "api:\/\/batch"\?$/,
    ],
    ['{ batch: [] }', /client_audiences\.batch: the list is empty/],
    ['{ batch: api://batch }', /client_audiences\.batch: expected a list/],
    ['[batch]', /client_audiences: expected a mapping/],
  ];
  for (const [pairs, line] of refusals) {
    it(`is refused as ${pairs}`, () => {
      assert.match(faults(pairs)[0] ?? 'accepted', line);
    });
  }
});
