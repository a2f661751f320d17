// `/`: for a person what this is and how to use it, for curl three lines. Tells no version, model or account.
import { html } from './html.ts';
import { copyScriptPath, page } from './page.ts';
import type { Readiness } from './readiness.ts';

/** The page for a browser. */
export function homePage(publicUrl: string, status: Readiness['status']): string {
  const ready = status !== 'not_ready';
  const body = html` <h1>Sallyport</h1>
    <p class="lead">
      The one guarded door between people and large language models. Applications speak the OpenAI API to it;
      it checks who is asking, what they may do and how much, and writes down what happened.
    </p>
    <p class="state ${ready ? 'good' : 'bad'}" role="status">
      ${ready ? html`<span aria-hidden="true">✓</span> Ready` : html`<span aria-hidden="true">✗</span> Not ready`}
    </p>
    ${ready ? html`` : html`<p>Something this gateway needs does not answer. <a href="/readyz?verbose">What is missing</a></p>`}
    <h2 id="sign-in">Sign in</h2>
    <p>In the project folder, in a terminal. It shows a code to confirm in your browser:</p>
    ${snippet(`npx sallyport login --gateway ${publicUrl}`)}
    <p>Or in this browser: open the <a href="/docs">API page</a> and press <em>Authorize</em>.</p>
    <h2 id="use">Use it</h2>
    <p>
      Any OpenAI client works. The base URL is <code>${publicUrl}/v1</code> and the key is an access token:
    </p>
    ${snippet(`import OpenAI from 'openai';
import { tokenProvider } from 'sallyport/token';

const openai = new OpenAI({
  baseURL: '${publicUrl}/v1',
  apiKey: tokenProvider(),
});
for await (const model of openai.models.list()) console.log(model.id);`)}
    ${snippet(`curl ${publicUrl}/v1/models \\
  -H "Authorization: Bearer $(npx sallyport token)"`)}
    <h2 id="more">More</h2>
    <ul>
      <li><a href="/docs">API</a>: every endpoint, to be tried in the browser</li>
      <li>
        <a href="/docs/contents">Docs</a>: the manual of this gateway, and
        <a href="/docs/errors">what each error means</a>
      </li>
      <li><a href="/.well-known/oauth-protected-resource">Sign-in metadata</a> for programs (RFC 9728)</li>
    </ul>`;
  return page({ title: 'Sallyport', body, script: copyScriptPath });
}

/** The three lines for curl. */
export function homeText(publicUrl: string, status: Readiness['status']): string {
  return `Sallyport, a guarded door to large language models: ${status === 'not_ready' ? 'not ready' : 'ready'}
Sign in:  npx sallyport login --gateway ${publicUrl}
Use it:   OpenAI API at ${publicUrl}/v1   (docs: ${publicUrl}/docs)
`;
}

function snippet(code: string): ReturnType<typeof html> {
  return html`<div class="snippet">
    <pre tabindex="0"><code>${code}</code></pre>
  </div>`;
}
