// What `client_certificates` may not say towards the other files and the configuration, and what the policy tools say of it.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { ConfigurationError, formatFinding } from '../../../core/yaml-file.ts';
import { loadBundle } from '../../../gateway/policies/bundle.ts';
import type { PolicyContext } from '../../../gateway/policies/context.ts';
import { createEvaluator } from '../../../gateway/policies/evaluation/evaluate.ts';
import { placedTests, reasonCodes, runTests } from '../../../gateway/policies/evaluation/run-tests.ts';
import { readTestFile } from '../../../gateway/policies/evaluation/test-files.ts';
import { context, goodFiles, writePolicies } from './policy-directory.ts';

const issuers = (section: string): Record<string, string> => ({
  'issuers.yaml': `${goodFiles['issuers.yaml'] ?? ''}client_certificates:\n${section}`,
});
const workloads = `  workloads:
    spiffe: { trust_domain: prod.example, paths: [/ns/llm/**] }
    issued_by: [${'ab'.repeat(32)}]
    roles: [LLM.User]
    client_id: batch
`;

function found(files: Readonly<Record<string, string>>, at: PolicyContext = context): string[] {
  const { directory, remove } = writePolicies(files);
  const lines = (findings: readonly Parameters<typeof formatFinding>[0][]): string[] =>
    findings.map((finding) => formatFinding(finding).replace(`${directory}/`, ''));
  try {
    return lines(loadBundle(directory, at).warnings);
  } catch (error) {
    assert.ok(error instanceof ConfigurationError, String(error));
    return lines(error.findings);
  } finally {
    remove();
  }
}

describe('the section client_certificates and the other files', () => {
  it('is accepted, and its names stand for issuers and clients in rules', () => {
    const rules = `rules:
  - { name: a, effect: deny, issuers: [workloads], clients: [batch] }
`;
    assert.deepEqual(found({ ...issuers(workloads), 'rules.yaml': rules }), []);
  });

  it('refuses an unknown role', () => {
    const [line = ''] = found(issuers(workloads.replace('LLM.User', 'LLM.Usr')));
    assert.match(
      line,
      /^issuers\.yaml:\d+:\d+ client_certificates\.workloads\.roles\.0: .*did you mean "LLM\.User"\?$/,
    );
  });

  it('refuses the name of an issuer', () => {
    const [line = ''] = found(issuers(workloads.replace('workloads', 'embedded')));
    assert.match(line, /embedded is the name of an issuer already/);
  });

  it('is refused behind a proxy that ends TLS, and pointless where no certificates are asked for', () => {
    const [refused = ''] = found(issuers(workloads), { ...context, clientCertificates: 'proxy' });
    assert.match(refused, /^issuers\.yaml:\d+:\d+ client_certificates: TLS ends at a proxy/);
    const [warned = ''] = found(issuers(workloads), { ...context, clientCertificates: 'not_asked_for' });
    assert.match(warned, /set gateway\.tls\.client_ca/);
  });

  it('makes assignments to subjects name their issuers', () => {
    const roles = (goodFiles['roles.yaml'] ?? '').replace('groups: [readers]', 'subjects: [ada]');
    const [line = ''] = found({ ...issuers(workloads), 'roles.yaml': roles });
    assert.match(line, /names its issuers/);
  });
});

describe('a policy test with a certificate', () => {
  const tests = `- { name: known, as: { certificate: { uri: [spiffe://prod.example/ns/llm/sa/x], issued_by: [${'AB'.repeat(32)}] } }, do: chat.completions.create, model: tiny-gpt2, expect: permit, by: roles.LLM.User }
- { name: other authority, as: { certificate: { uri: [spiffe://prod.example/ns/llm/sa/x] } }, do: chat.completions.create, model: tiny-gpt2, expect: invalid_token, because: certificate_unknown }
- { name: other namespace, as: { certificate: { uri: [spiffe://prod.example/ns/x] } }, do: models.list, expect: invalid_token, because: certificate_unknown }
- { name: no administrator, as: { certificate: { uri: [spiffe://prod.example/ns/llm/x], issued_by: [${'ab'.repeat(32)}] } }, do: admin.users.list, expect: admin_access_required }
`;

  function outcomes(files: Readonly<Record<string, string>>): string[] {
    const { directory, remove } = writePolicies(files);
    try {
      mkdirSync(join(directory, 'tests'));
      const path = join(directory, 'tests', 'some.yaml');
      writeFileSync(path, tests);
      const bundle = loadBundle(directory, context);
      const evaluator = createEvaluator({ bundle, context });
      const surroundings = { issuers: bundle.issuers, embeddedIssuer: context.embeddedIssuer };
      return runTests(placedTests([readTestFile(path)]), evaluator, surroundings).map(
        ({ test, passed, answer }) =>
          `${test.name}: ${passed ? 'passed' : answer === null ? 'gone' : reasonCodes(answer).join(' ')}`,
      );
    } finally {
      remove();
    }
  }

  it('is judged by the rules of the gateway', () => {
    assert.deepEqual(outcomes(issuers(workloads)), [
      'known: passed',
      'other authority: passed',
      'other namespace: passed',
      'no administrator: passed',
    ]);
  });

  it('is nobody where no certificate is a credential', () => {
    assert.deepEqual(
      outcomes({}).map((line) => line.split(': ')[1]),
      Array.from({ length: 4 }, () => 'no_credentials'),
    );
  });
});
