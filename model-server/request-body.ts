// Reads a JSON body: bounded, strict, once.
import type { IncomingMessage } from 'node:http';
import type { z } from 'zod';
import { GatewayError } from '../core/errors.ts';
import { StrictJsonError, parseStrictObject } from '../core/strict-json.ts';

/** The refusal of a body, with OpenAI's `param`. */
export function bodyInvalid(problem: string, param?: string): GatewayError {
  return new GatewayError('body_invalid', { params: { problem }, ...(param === undefined ? {} : { param }) });
}

/**
 * Reads and parses the body.
 * Checks: media type, no content encoding, size, strict JSON (core/strict-json.ts).
 * Does not check: what the members mean (the endpoint).
 * @throws GatewayError
 */
export async function readJsonBody(
  request: IncomingMessage,
  maxBytes: number,
): Promise<Record<string, unknown>> {
  const { 'content-type': mediaType = '', 'content-encoding': encoding = 'identity' } = request.headers;
  const isJson = /^application\/json *(; *charset="?utf-8"? *)?$/i.test(mediaType);
  if (!isJson || encoding !== 'identity') throw new GatewayError('unsupported_media_type');
  if (Number(request.headers['content-length'] ?? 0) > maxBytes) throw tooLarge(maxBytes);
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of request as AsyncIterable<Buffer>) {
    size += piece.length;
    if (size > maxBytes) throw tooLarge(maxBytes);
    pieces.push(piece);
  }
  try {
    return parseStrictObject(Buffer.concat(pieces));
  } catch (error) {
    throw error instanceof StrictJsonError ? bodyInvalid(error.message) : error;
  }
}

function tooLarge(limit: number): GatewayError {
  return new GatewayError('body_too_large', { params: { limit } });
}

/**
 * Parses a body by its endpoint's schema; a null member counts as absent, as OpenAI's API has it.
 * @throws GatewayError body_invalid naming the first member that is wrong.
 */
export function parseBody<Schema extends z.ZodType>(
  body: Record<string, unknown>,
  schema: Schema,
): z.output<Schema> {
  const parsed = schema.safeParse(
    Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null)),
  );
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  if (issue?.code === 'unrecognized_keys') {
    const name = [...issue.path, issue.keys[0] ?? ''].join('.');
    throw bodyInvalid(`${name} is not supported`, name);
  }
  const name = issue?.path.join('.') ?? '';
  throw bodyInvalid(
    name === '' ? (issue?.message ?? 'it is not as expected') : `${name}: ${issue?.message ?? 'wrong'}`,
    name,
  );
}
