// The one logger: JSON lines on stderr, so that stdout stays for data. No credential, prompt or header value is
// ever passed to it; the redaction below is a second line of defence, not a licence.
import { pino, type Logger } from 'pino';

export type { Logger };

/** Creates the logger of one server process; `name` is `gateway`, `identity` or `model-server`. */
export function createLog(name: string, level = process.env['SALLYPORT_LOG_LEVEL'] ?? 'info'): Logger {
  const redacted = [
    'authorization',
    'cookie',
    'set-cookie',
    'api-key',
    'password',
    'access_token',
    'refresh_token',
    'client_secret',
    'prompt',
    'messages',
  ];
  return pino(
    {
      name,
      level,
      base: { name },
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: {
        paths: redacted.flatMap((key) => [`["${key}"]`, `*["${key}"]`, `*.*["${key}"]`]),
        censor: '[redacted]',
      },
    },
    pino.destination({ dest: 2, sync: true }),
  );
}
