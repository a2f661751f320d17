// A stand-in for a server process under the supervisor; argv[2] is a JSON script of what it does.
const script = JSON.parse(process.argv[2] ?? '{}');
const tell = (message) => process.send?.(message);
process.on('disconnect', () => process.exit(0));
process.on('SIGTERM', () => {
  if (script.ignoreSigterm) return;
  if (script.open > 0) tell({ event: 'draining', open: script.open });
  setTimeout(() => process.exit(0), script.drainMs ?? 0);
});
for (const line of script.stderr ?? []) process.stderr.write(`${line}\n`);
if (script.failed !== undefined) {
  process.send({ event: 'failed', ...script.failed }, undefined, {}, () =>
    process.exit(script.failed.exitCode),
  );
} else if (script.dieBeforeReady) {
  process.kill(process.pid, script.dieBeforeReady);
} else {
  if (script.firstAdministrator) tell({ event: 'first_administrator', ...script.firstAdministrator });
  tell({ event: 'nonsense' });
  tell({ event: 'ready', address: script.address ?? `unix:fake-${process.pid}` });
}
setInterval(() => undefined, 1000);
