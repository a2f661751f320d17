// `sallyport policy explain`: why one request is permitted or refused. From a token, claims or roles it judges anew; from a
// request id it reads the audit log and shows what was decided then.
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { findDecision } from '../../gateway/accounting/decision-files.ts';
import { nearest } from '../../core/yaml-file.ts';
import { readCertificate } from '../../gateway/authenticate/certificate/certificate-fields.ts';
import type { ShownCertificate } from '../../gateway/authenticate/index.ts';
import { exitCodes, type ExitCode } from '../exit-codes.ts';
import { CommandFailure } from '../failure.ts';
import type { Terminal } from '../terminal.ts';
import { holderOf } from './access.ts';
import { findRequest } from './audit-search.ts';
import { createEvaluator, routeFor, type Question } from '../../gateway/policies/evaluation/evaluate.ts';
import { explainQuestion, formatExplanation, type ExplainedRequest } from './explanation.ts';
import { explainRecord } from './explain-record.ts';
import { openPolicies, type OpenedPolicies, type PolicyOptions } from './opened-policies.ts';
import { paintFor } from './paint.ts';
import { syntheticToken } from '../../gateway/policies/evaluation/synthetic-token.ts';

export interface ExplainOptions extends PolicyOptions {
  readonly policies?: string;
  readonly tokenFile?: string;
  readonly claims?: string;
  readonly certificate?: string;
  readonly roles?: string;
  readonly action?: string;
  readonly model?: string;
  readonly now?: string;
  readonly from: string;
}

/** Explains; 6 when the request is refused, so that a script can ask. */
export async function explainCommand(
  requestId: string | undefined,
  options: ExplainOptions,
  terminal: Terminal,
): Promise<ExitCode> {
  const opened = openPolicies(options.policies, options);
  const explained =
    requestId === undefined ? judged(options, opened) : await recorded(requestId, options, opened);
  if (options.json === true) terminal.json(explained);
  else terminal.write(formatExplanation(explained, paintFor(terminal)));
  return explained.outcome === 'permit' ? exitCodes.done : exitCodes.refused;
}

async function recorded(
  requestId: string,
  options: ExplainOptions,
  opened: OpenedPolicies,
): Promise<ExplainedRequest> {
  const surplus = ['tokenFile', 'claims', 'certificate', 'roles', 'action', 'model'].filter(
    (name) => name in options,
  );
  if (surplus.length > 0) throw usage('A request id stands alone: what was asked for is in the audit log.');
  const record = findRequest(opened.auditFolder, requestId);
  if (record === null)
    throw new CommandFailure(exitCodes.unexpected, `${requestId} is not in the audit log.`, {
      hints: [`Looked in ${opened.auditFolder}; another gateway keeps its own.`],
      code: 'request_unknown',
    });
  return explainRecord(record, opened, await findDecision(opened.decisionFolder, requestId));
}

function judged(options: ExplainOptions, opened: OpenedPolicies): ExplainedRequest {
  const credentials = [options.tokenFile, options.claims, options.certificate, options.roles].filter(
    (given) => given !== undefined,
  );
  if (credentials.length !== 1 || options.action === undefined)
    throw usage(
      'Name a request id, or --action and one of --token-file, --claims, --certificate and --roles.',
    );
  const now = options.now === undefined ? Date.now() : Date.parse(options.now);
  if (Number.isNaN(now)) throw usage('--now is a time such as 2026-11-22T10:00:00Z.');
  const evaluator = createEvaluator(opened);
  if (routeFor(evaluator.snapshot, { action: options.action, route: null }) === undefined) {
    const actions = [...new Set(evaluator.snapshot.routes.routes.map((route) => route.action))];
    const suggestion = nearest(options.action, actions);
    throw usage(
      `No route has the action ${options.action}.`,
      suggestion === undefined ? `Known: ${actions.join(', ')}` : `Did you mean ${suggestion}?`,
    );
  }
  const question: Question = {
    credential: credentialOf(options, opened, now),
    action: options.action,
    route: null,
    model: options.model ?? null,
    request: null,
    now,
    from: options.from,
  };
  return explainQuestion(question, evaluator, opened);
}

/** The credential that the options describe; none of them stands for somebody without roles. */
export function credentialOf(
  options: Pick<ExplainOptions, 'tokenFile' | 'claims' | 'certificate' | 'roles'>,
  opened: OpenedPolicies,
  now: number,
): Question['credential'] {
  const { tokenFile, claims, roles } = options;
  if (tokenFile !== undefined)
    return readFileAt(tokenFile)
      .trim()
      .replace(/^Bearer\s+/i, '');
  if (claims !== undefined) {
    const { issuers } = opened.bundle;
    const { embeddedIssuer } = opened.context;
    return syntheticToken({ claims: objectIn(claims) }, now, { issuers, embeddedIssuer });
  }
  if (options.certificate !== undefined) return { certificate: certificateIn(options.certificate) };
  const [issuerName = ''] = Object.keys(opened.bundle.issuers.issuers);
  const named = (roles ?? '').split(',').map((role) => role.trim());
  return holderOf(
    named.filter((role) => role !== ''),
    issuerName,
  );
}

/** The certificate of a PEM file; further ones in it are the authorities above it. */
function certificateIn(path: string): ShownCertificate {
  const blocks = readFileAt(path).match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  try {
    const [own, ...above] = blocks.map((block) => new X509Certificate(block));
    if (own !== undefined)
      return {
        fields: readCertificate(own.raw),
        authorities: [new Set(above.map((each) => each.fingerprint256.replaceAll(':', '').toLowerCase()))],
      };
  } catch {
    // Not a certificate: said below.
  }
  throw usage(`${path} does not hold a certificate (PEM) that can be read.`);
}

function objectIn(path: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(readFileAt(path));
    if (typeof value === 'object' && value !== null && !Array.isArray(value))
      return value as Record<string, unknown>; // Parsed JSON: an object, narrowed above.
  } catch (error) {
    if (error instanceof CommandFailure) throw error;
  }
  throw usage(`${path} does not hold a JSON object of claims.`);
}

function readFileAt(path: string): string {
  try {
    return readFileSync(path === '-' ? 0 : path, 'utf8');
  } catch {
    throw usage(`${path} cannot be read.`);
  }
}

function usage(sentence: string, ...hints: string[]): CommandFailure {
  return new CommandFailure(exitCodes.usage, sentence, { hints, code: 'usage' });
}
