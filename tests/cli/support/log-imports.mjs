// Preloaded by a test: appends the URL of every module that the process loads to IMPORT_LOG.
import { appendFileSync } from 'node:fs';
import { registerHooks } from 'node:module';

registerHooks({
  load(url, context, nextLoad) {
    appendFileSync(process.env.IMPORT_LOG, `${url}\n`);
    return nextLoad(url, context);
  },
});
