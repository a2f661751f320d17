// What every contestant process shares: it starts on the parent's first message, and tells its CPU time when asked.
/** Runs `start(options)` for the message `{ start: options }` and answers `{ cpu: true }` with microseconds. */
export function ready(start) {
  process.on('message', async (message) => {
    if (message.start !== undefined) {
      try {
        process.send({ started: await start(message.start) });
      } catch (error) {
        process.send({ failed: error.message });
      }
    }
    if (message.cpu === true) {
      const { user, system } = process.cpuUsage();
      process.send({ cpu: user + system, rss: process.memoryUsage.rss() });
    }
  });
  process.on('disconnect', () => process.exit(0));
}
