// What the control surface needs of the gateway: narrow, so that it can be tested without one.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { GatewayError } from '../../core/errors.ts';
import type { Services } from '../services.ts';
import type { Snapshot } from '../snapshot.ts';

/** Dependencies of both control apps. */
export interface ControlDependencies {
  readonly services: Services;
  readonly current: () => Snapshot;
  /** Why the policies last saved are not in use, in words for an operator; null when they are. */
  readonly policiesProblem: () => string | null;
  readonly isStopping: () => boolean;
  /** Extra certificate authority for asking issuers for their endpoints, PEM file. */
  readonly issuerCa?: string | undefined;
  /** Answers with a refusal in the right shape and accounts for it. */
  readonly refuse: (request: IncomingMessage, response: ServerResponse, refusal: GatewayError) => void;
}
