// Last stage, always: writes the audit record, keeps the decision, and counts.
import { GatewayError } from '../../core/errors.ts';
import type { Received } from '../exchange.ts';
import type { Services } from '../services.ts';
import { requestRecord, unroutedRecord } from './audit-record.ts';

/** A request that was refused or answered without a route. */
export interface UnroutedRequest {
  readonly id: string;
  /** Empty when the request was not even HTTP. */
  readonly method: string;
  readonly status: number;
  readonly code: string;
  readonly reason?: string | null;
  readonly callerAddress: string;
}

/** Never throws. Called once per request, when the answer has ended or the caller has gone. */
export function account(received: Received): void {
  const { services, outcome, startedAt } = received;
  try {
    const endedAt = performance.now();
    const code = codeOf(received);
    services.auditLog.appendText(requestRecord(received, code, endedAt));
    services.decisions?.append(received);
    services.shadow?.compare(received);
    services.metrics.requestEnded({
      route: received.route.name,
      // Only configured models become labels: a caller cannot make time series.
      model: outcome.model !== null && received.snapshot.models.has(outcome.model) ? outcome.model : 'none',
      code,
      refused: outcome.refusal !== null,
      durationSeconds: (endedAt - startedAt) / 1_000,
      firstByteSeconds: outcome.firstByteAt === null ? null : (outcome.firstByteAt - startedAt) / 1_000,
      promptTokens: outcome.promptTokens ?? 0,
      completionTokens: outcome.completionTokens ?? 0,
    });
  } catch (error) {
    reportFault(services, received.id, error);
  }
}

/** Accounts for a request that reached no route: malformed, unknown path, wrong method. Never throws. */
export function accountUnrouted(services: Services, unrouted: UnroutedRequest): void {
  try {
    services.auditLog.append(unroutedRecord(unrouted, Date.now()));
    services.metrics.requestEnded({
      route: 'none',
      model: 'none',
      code: unrouted.code,
      refused: true,
      durationSeconds: null,
      firstByteSeconds: null,
      promptTokens: 0,
      completionTokens: 0,
    });
  } catch (error) {
    reportFault(services, unrouted.id, error);
  }
}

/** The closed set of outcomes: a catalogue code, `ok`, `http_<status>` for an upstream's own answer, `caller_gone`. */
function codeOf({ outcome, response }: Received): string {
  if (outcome.refusal !== null) return outcome.refusal.code;
  if (outcome.aborted) return 'caller_gone';
  return response.statusCode < 400 ? 'ok' : `http_${response.statusCode}`;
}

function reportFault(services: Services, id: string, error: unknown): void {
  const fault = error instanceof GatewayError ? error.code : error instanceof Error ? error.name : 'unknown';
  services.log.error({ request_id: id, fault }, 'accounting for a request failed');
}
