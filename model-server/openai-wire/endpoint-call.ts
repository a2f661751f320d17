// What every endpoint gets besides the parsed body.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Engine } from '../engine/engine.ts';
import type { CountedUsage } from '../metrics.ts';

/** One authenticated request to one model. */
export interface EndpointCall {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly body: Record<string, unknown>;
  readonly engine: Engine;
  /** The model's id, echoed in answers. */
  readonly modelId: string;
  readonly fingerprint: string;
  readonly defaultTopK: number;
  /** Key of the principal whom the gateway vouches for; fair queueing goes by it. */
  readonly principal: string;
  /** Opaque key of those who may share computed prompts; null: nobody. */
  readonly owner: string | null;
  /** Aborts when the caller goes away. */
  readonly signal: AbortSignal;
  readonly maxChoices: number;
  readonly maxInputs: number;
  readonly heartbeatMs: number;
  /** Counts what was generated and read. */
  readonly count: (usage: CountedUsage) => void;
}

/** Answers with JSON. */
export function sendJson(response: ServerResponse, value: object, status = 200): void {
  if (response.destroyed || response.writableEnded) return;
  const body = JSON.stringify(value);
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
  });
  response.end(body);
}
