// Which Node the command line needs, and what to tell a person who has an older one.

const needed = { major: 24, minor: 17 };

/** The text for an old Node, or null when `version` (as in process.versions.node) is new enough. */
export function oldNodeMessage(version: string): string | null {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major > needed.major || (major === needed.major && minor >= needed.minor)) return null;
  return [
    `✗ Sallyport needs Node ${needed.major}.${needed.minor} or newer; this is Node ${version}.`,
    '  The project brings its own: run  npm ci  in the project folder, then  npx sallyport …  there.',
    '  Or install Node 24 LTS from https://nodejs.org and run the command again.',
    '',
  ].join('\n');
}
