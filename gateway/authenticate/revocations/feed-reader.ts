// Reads the events of identity's feed out of their bytes. Strict: what cannot be read may have been a revocation, so it
// ends the connection instead of being passed over.
import { z } from 'zod';

const known = z.discriminatedUnion('type', [
  z.object({ type: z.literal('hello'), latest: z.int().min(0) }),
  z.object({ type: z.literal('revoked'), credential: z.string().min(1).max(1_024), at: z.number() }),
  z.object({ type: z.literal('revoked_before'), subject: z.string().min(1).max(1_024), at: z.number() }),
  z.object({ type: z.literal('relations_changed') }),
]);
type Known = z.output<typeof known>;

/** An event; `other` is of a type that a newer identity server may have. */
export type FeedEvent =
  | Extract<Known, { type: 'hello' }>
  | (Exclude<Known, { type: 'hello' }> & { readonly id: number })
  | { readonly type: 'other'; readonly id: number };

const maxEventLength = 65_536;

/** Reads one connection. `push` @throws Error when the feed is not what it should be */
export function createFeedReader(): { push(bytes: Buffer): readonly FeedEvent[] } {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let unread = '';
  return {
    push(bytes) {
      unread += decoder.decode(bytes, { stream: true });
      const blocks = unread.split('\n\n');
      unread = blocks.pop() ?? '';
      if (unread.length > maxEventLength) throw new Error('an event is too long');
      return blocks.flatMap((block) => eventOf(block) ?? []);
    },
  };
}

function eventOf(block: string): FeedEvent | null {
  const { id, text } = fieldsOf(block);
  if (text === null) return null;
  const json: unknown = JSON.parse(text);
  const parsed = known.safeParse(json);
  const event = parsed.success ? parsed.data : null;
  if (event?.type === 'hello') return event;
  if (id === null || !Number.isSafeInteger(id)) throw new Error('an event has no id');
  if (event !== null) return { ...event, id };
  if (!isOfNewKind(json)) throw new Error('an event cannot be read');
  return { type: 'other', id };
}

function fieldsOf(block: string): { id: number | null; text: string | null } {
  let id: number | null = null;
  let text: string | null = null;
  for (const line of block.split('\n')) {
    if (line.startsWith(':') || line === '') continue;
    const [, name, value] = /^(id|data): ?(.*)$/.exec(line) ?? [];
    if (value === undefined) throw new Error('a line of the feed cannot be read');
    if (name === 'id') id = Number(value);
    else text = value;
  }
  return { id, text };
}

function isOfNewKind(json: unknown): boolean {
  const type = typeof json === 'object' && json !== null && 'type' in json ? json.type : undefined;
  return typeof type === 'string' && !known.options.some((option) => option.shape.type.value === type);
}
