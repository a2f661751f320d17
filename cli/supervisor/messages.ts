// What a server process tells its supervisor over IPC.
import { z } from 'zod';

/** Messages of a supervised server; anything else on the channel is ignored. */
export const serverMessage = z.discriminatedUnion('event', [
  z.object({ event: z.literal('ready'), address: z.string() }),
  z.object({ event: z.literal('first_administrator'), username: z.string(), password: z.string() }),
  /** The start failed; `lines` are one screen for the operator. */
  z.object({ event: z.literal('failed'), lines: z.array(z.string()), exitCode: z.int() }),
  /** A stop has begun and waits for open answers. */
  z.object({ event: z.literal('draining'), open: z.int() }),
]);
export type ServerMessage = z.output<typeof serverMessage>;
