// A part that answers requests beside the hot path and is loaded with its first request: the control surface brings
// Express and what it needs, several megabytes that a worker without such requests never holds.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { GatewayError } from '../core/errors.ts';

/** Answers a request. */
export type RequestHandler = (request: IncomingMessage, response: ServerResponse) => void;

/** Answers as what `load` brings does; while it cannot be loaded, `refuse` answers, and the next request tries again. */
export function loadedWithFirst(
  load: () => Promise<RequestHandler>,
  refuse: (request: IncomingMessage, response: ServerResponse, refusal: GatewayError) => void,
): RequestHandler {
  let loaded: RequestHandler | null = null;
  let loading: Promise<RequestHandler> | null = null;
  return (request, response) => {
    if (loaded !== null) {
      loaded(request, response);
      return;
    }
    loading ??= load();
    loading.then(
      (handler) => {
        loaded = handler;
        handler(request, response);
      },
      (error: unknown) => {
        loading = null;
        refuse(request, response, new GatewayError('internal_error', { cause: error }));
      },
    );
  };
}
