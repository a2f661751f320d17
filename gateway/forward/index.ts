// Sixth stage: pick the upstream, send the judged bytes, stream the answer back. One file per kind of route.
import { GatewayError } from '../../core/errors.ts';
import { answerAccess } from '../access/index.ts';
import type { Guarded } from '../exchange.ts';
import { forwardGenerate } from './generate.ts';
import { forwardHttp } from './http-service.ts';
import { answerModels } from './models.ts';
import { forwardOpenAi } from './openai.ts';
import { answerShadow } from './shadow.ts';
import { answerRevocation } from './revocation.ts';

/**
 * Over when the answer has ended or the caller has gone.
 * @throws GatewayError, also after streaming has begun; or its promise rejects
 */
export function forward(guarded: Guarded): void | Promise<void> {
  // Revoked since it was authenticated.
  if (guarded.signal.reason instanceof GatewayError) throw guarded.signal.reason;
  switch (guarded.route.kind) {
    case 'openai':
      return forwardOpenAi(guarded);
    case 'generate':
      return forwardGenerate(guarded);
    case 'models':
      answerModels(guarded);
      return;
    case 'decision':
      return answerAccess(guarded);
    case 'http':
      return forwardHttp(guarded);
    case 'shadow':
      answerShadow(guarded);
      return;
    case 'revocations':
      return answerRevocation(guarded);
  }
}
