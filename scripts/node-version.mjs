// Which Node runs Sallyport, and the one screen that says so when it is older.
const minimum = [24, 17];

/** Whether a version such as `v24.21.0` is new enough. */
export function isSupported(version = process.version) {
  const [major = 0, minor = 0] = version.replace(/^v/, '').split('.').map(Number);
  return major > minimum[0] || (major === minimum[0] && minor >= minimum[1]);
}

/** Ends the process with one screen on a Node that is too old. */
export function requireSupportedNode() {
  if (isSupported()) return;
  process.stderr.write(
    `✗ Sallyport needs Node ${minimum.join('.')} or newer; this is ${process.version} (${process.execPath}).\n` +
      `  On Linux and on Intel Macs \`npm ci\` brings the right one: run it without --omit=optional, then npm start.\n` +
      `  Elsewhere install Node 24 from https://nodejs.org/ and run the same command again.\n` +
      `  Setting: optionalDependencies in package.json (docs/decisions/0001-node-through-npm.md)\n`,
  );
  process.exit(1);
}
