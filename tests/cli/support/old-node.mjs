// Preloaded by a test: makes the process believe that it is an older Node.
Object.defineProperty(process, 'versions', {
  value: { ...process.versions, node: process.env.PRETEND_NODE },
});
