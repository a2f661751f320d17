// The gateway of the bench, which also tells how long its event loop was held up and what its memory holds.
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { getHeapSpaceStatistics, getHeapStatistics, writeHeapSnapshot } from 'node:v8';
import { start } from './gateway.mjs';
import { ready } from './process.mjs';

const delay = monitorEventLoopDelay({ resolution: 1 });
const millis = (nanos) => nanos / 1e6;

/**
 * How late a timer of 1 ms is by the loop's own doing, ms: never more than the processor time of its thread since the last
 * time. What is beyond that, the thread was not running, since the machine had something else to do.
 */
const ownDelays = [];
let timer = null;

function watchOwn() {
  ownDelays.length = 0;
  let last = { at: performance.now(), cpu: threadMillis() };
  timer = setInterval(() => {
    const now = { at: performance.now(), cpu: threadMillis() };
    ownDelays.push(Math.max(0, Math.min(now.at - last.at - 1, now.cpu - last.cpu)));
    last = now;
  }, 1);
}

function threadMillis() {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1_000;
}

ready(import.meta.url, start, {
  /** Begins to watch the event loop, or (false) ends it and tells. A timer of 1 ms is late by what held the loop up. */
  watch: (isBeginning) => {
    if (isBeginning) {
      delay.reset();
      delay.enable();
      watchOwn();
      return { began: true };
    }
    delay.disable();
    clearInterval(timer);
    ownDelays.sort((left, right) => left - right);
    return {
      p50: millis(delay.percentile(50)),
      p99: millis(delay.percentile(99)),
      p999: millis(delay.percentile(99.9)),
      max: millis(delay.max),
      own99: ownDelays[Math.floor(ownDelays.length * 0.99)] ?? 0,
      ownMax: ownDelays.at(-1) ?? 0,
    };
  },
  /** What the heap holds, in MiB by space; with a path, a snapshot is written there. */
  heap: (path) => {
    if (typeof path === 'string') writeHeapSnapshot(path);
    const mebibytes = (bytes) => Math.round(bytes / 104_857.6) / 10;
    const spaces = getHeapSpaceStatistics()
      .filter(({ space_size: size }) => size > 100_000)
      .map(({ space_name: name, space_size: size, space_used_size: used }) => [
        name,
        { used: mebibytes(used), size: mebibytes(size) },
      ]);
    const { external, arrayBuffers } = process.memoryUsage();
    const {
      malloced_memory: ofV8,
      total_heap_size: whole,
      total_physical_size: physical,
    } = getHeapStatistics();
    return {
      ...Object.fromEntries(spaces),
      whole: mebibytes(whole),
      physical: mebibytes(physical),
      outsideTheHeapByV8: mebibytes(ofV8),
      external: mebibytes(external),
      arrayBuffers: mebibytes(arrayBuffers),
    };
  },
});
