// The groups of somebody whose access token lists none because there are too many (`groups_overage: resolve`). Answers are
// kept for a short while; what cannot be asked is refused, never guessed.
import { LRUCache } from 'lru-cache';
import { GatewayError } from '../../../core/errors.ts';
import type { Logger } from '../../../core/log.ts';
import type { AskDirectory, DirectoryMember } from './directory-client.ts';

/** Groups and until when they may be used, epoch ms. */
export interface ResolvedGroups {
  readonly groups: ReadonlySet<string>;
  readonly until: number;
}

/** A directory that knows groups. */
export interface GroupDirectory {
  /** @throws GatewayError `directory_unavailable` */
  groupsOf(member: DirectoryMember): Promise<ResolvedGroups>;
}

/** What a directory is made of. */
export interface GroupDirectoryOptions {
  readonly ask: AskDirectory;
  /** How long an answer is used. */
  readonly cacheMs: number;
  /** For all answers to one question together. */
  readonly timeoutMs: number;
  /** Name of the entry in issuers.yaml, for the log. */
  readonly name: string;
  readonly log: Logger;
  /** Epoch ms. */
  readonly now: () => number;
}

/** A question that failed is not put again for this long. */
const failureKeptMs = 5_000;
/** Questions under way at the same time; further ones are refused. */
const maxUnderWay = 256;
/** Group ids that are kept, over everybody. */
const maxKeptGroups = 500_000;

/** Creates the cache before a directory. */
export function createGroupDirectory(options: GroupDirectoryOptions): GroupDirectory {
  const { now, cacheMs } = options;
  const kept = new LRUCache<string, ResolvedGroups>({ maxSize: maxKeptGroups });
  const failed = new LRUCache<string, { readonly until: number }>({ max: 10_000 });
  const underWay = new Map<string, Promise<ResolvedGroups>>();
  const outage = createOutage(options);

  const resolve = async (key: string, member: DirectoryMember): Promise<ResolvedGroups> => {
    try {
      const groups = await inTime(member, options);
      outage.over();
      const resolved = { groups, until: now() + cacheMs };
      kept.set(key, resolved, { size: groups.size + 1 });
      return resolved;
    } catch (error) {
      failed.set(key, { until: now() + failureKeptMs });
      outage.began(error);
      throw unavailable(error);
    }
  };

  return {
    async groupsOf(member) {
      const key = `${member.tenantId} ${member.objectId}`;
      const known = kept.get(key);
      if (known !== undefined && now() < known.until) return known;
      if (now() < (failed.get(key)?.until ?? 0)) throw unavailable();
      const running = underWay.get(key);
      if (running !== undefined) return running;
      if (underWay.size >= maxUnderWay) throw unavailable();
      const question = resolve(key, member).finally(() => underWay.delete(key));
      underWay.set(key, question);
      return question;
    },
  };
}

/** The answer, or an error when it does not come in time, whatever the connection does. */
async function inTime(
  member: DirectoryMember,
  { ask, timeoutMs }: GroupDirectoryOptions,
): Promise<ReadonlySet<string>> {
  const abort = new AbortController();
  const late = new Promise<never>((_, reject) => {
    abort.signal.addEventListener('abort', () => reject(new Error('no complete answer in time')), {
      once: true,
    });
  });
  const timeout = setTimeout(() => abort.abort(), timeoutMs);
  try {
    return await Promise.race([ask(member, abort.signal), late]);
  } finally {
    clearTimeout(timeout);
  }
}

/** One line in the log when an outage begins and one when it ends. */
function createOutage({ name, log }: GroupDirectoryOptions): {
  began: (error: unknown) => void;
  over: () => void;
} {
  let isDown = false;
  return {
    began(error) {
      if (isDown) return;
      isDown = true;
      const problem = error instanceof Error ? error.message : 'the question failed';
      log.warn({ issuer: name, problem }, 'the directory cannot say who is in which groups');
    },
    over() {
      if (!isDown) return;
      isDown = false;
      log.info({ issuer: name }, 'the directory answers again');
    },
  };
}

function unavailable(cause?: unknown): GatewayError {
  return new GatewayError('directory_unavailable', {
    reason: 'groups_not_resolved',
    retryAfterSeconds: Math.ceil(failureKeptMs / 1_000),
    ...(cause === undefined ? {} : { cause }),
  });
}
