// The JSON object of a request as the account routes take it: as bytes, read strictly, since a lenient parser would
// take UTF-7, a member given twice or a byte order mark.
import express, { type Request, type RequestHandler } from 'express';
import { StrictJsonError, parseStrictObject } from '../core/strict-json.ts';
import type { AccountProblem } from './account-problem.ts';

/** Reads the bytes of a body up to a limit, e.g. `16kb`; parses nothing. */
export function jsonBytes(limit: string): RequestHandler {
  return express.raw({ limit, inflate: false, type: 'application/json' });
}

/** The object that was sent, or what is wrong with it; `wanted` says in words what should have been. */
export function jsonObject(
  request: Request,
  wanted: string,
): { readonly json: Record<string, unknown> } | { readonly problem: AccountProblem } {
  const bytes: unknown = request.body;
  const mediaType = request.headers['content-type'] ?? '';
  if (
    !Buffer.isBuffer(bytes) ||
    !/^application\/json\s*(;\s*charset\s*=\s*"?utf-8"?\s*)?$/i.test(mediaType)
  ) {
    return {
      problem: {
        status: 415,
        code: 'unsupported_media_type',
        detail: `Send ${wanted} as application/json`,
      },
    };
  }
  try {
    return { json: parseStrictObject(bytes) };
  } catch (error) {
    if (!(error instanceof StrictJsonError)) throw error;
    return { problem: { status: 400, code: 'body_invalid', detail: `Send ${wanted}: ${error.message}` } };
  }
}
