// Opens an address or copies a code on the person's own machine; only ever after a key press.
import { spawn } from 'node:child_process';
import { platform } from 'node:os';

/** Opens a URL in the default browser; false when there is no way to. */
export function openInBrowser(url: string): Promise<boolean> {
  if (platform() === 'darwin') return runQuietly('open', [url]);
  if (process.env['WSL_DISTRO_NAME'] !== undefined) return runQuietly('wslview', [url]);
  // Without a screen xdg-open would start a text browser that nobody sees.
  const hasScreen = ['DISPLAY', 'WAYLAND_DISPLAY'].some((name) => (process.env[name] ?? '') !== '');
  return hasScreen ? runQuietly('xdg-open', [url]) : Promise.resolve(false);
}

/** Copies text to the clipboard; false when no clipboard program is there. */
export async function copyToClipboard(text: string): Promise<boolean> {
  if (platform() === 'darwin') return runQuietly('pbcopy', [], text);
  if (process.env['WSL_DISTRO_NAME'] !== undefined) return runQuietly('clip.exe', [], text);
  if (process.env['WAYLAND_DISPLAY'] !== undefined && (await runQuietly('wl-copy', [], text))) return true;
  return process.env['DISPLAY'] !== undefined && runQuietly('xclip', ['-selection', 'clipboard'], text);
}

// Programs that fail say so at once; one that still runs has a window open.
const patienceMs = 1_000;

function runQuietly(program: string, words: readonly string[], input = ''): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn(program, words, { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
    child.on('error', () => resolve(false));
    child.on('exit', (code) => resolve(code === 0));
    child.on('spawn', () => {
      child.stdin.on('error', () => undefined);
      child.stdin.end(input);
      child.unref();
      setTimeout(() => resolve(true), patienceMs).unref();
    });
  });
}
