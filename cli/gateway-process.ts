// How the process of a gateway is started so that it stays small (docs/decisions/0017-memory.md). bin/sallyport does the
// same for `serve gateway`; workers take over both from their primary.

/**
 * Node's flags: a young generation of 16 MiB instead of 64 and more (with 8 MiB what is in flight was promoted, which cost a
 * tenth of the processor time), and an old one that is collected when it has grown by half instead of fourfold; 768 MiB is
 * far above what a gateway needs. None where NODE_OPTIONS sizes the heap.
 */
export function gatewayNodeFlags({ NODE_OPTIONS: own = '' }: NodeJS.ProcessEnv): readonly string[] {
  if (/space[-_]size|heap[-_]size/.test(own)) return [];
  return ['--max-semi-space-size=8', '--max-old-space-size=768'];
}

/**
 * The environment: with glibc's many arenas, memory that one thread frees is not used by another; and blocks of 128 KiB and
 * more, such as tables of counters, go back to the system when they are freed, where by itself it would begin to keep them.
 */
export function gatewayEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return {
    MALLOC_ARENA_MAX: '1',
    MALLOC_MMAP_THRESHOLD_: '131072',
    MALLOC_TRIM_THRESHOLD_: '4194304',
    ...env,
  };
}
