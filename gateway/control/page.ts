// The frame of our own pages: one stylesheet, no inline script or style, readable without script.
import { html, type Html } from './html.ts';

/** Where the stylesheet is served. */
export const stylesheetPath = '/assets/sallyport.css';
/** Where the script of the copy buttons is served; pages work without it. */
export const copyScriptPath = '/assets/copy.js';

/** The bar at the top of every page. */
export const pageTop = html`<a class="skip" href="#main">Skip to the content</a>
  <header class="top">
    <nav aria-label="Main">
      <a class="brand" href="/"><img src="/assets/icon.svg" alt="" width="24" height="24" />Sallyport</a>
      <ul>
        <li><a href="/#sign-in">Sign in</a></li>
        <li><a href="/docs/contents">Docs</a></li>
        <li><a href="/docs">API</a></li>
      </ul>
    </nav>
  </header>`;

/** A whole page. */
export function page(options: {
  readonly title: string;
  readonly body: Html;
  /** Path of a script; the page must say what it says without it. */
  readonly script?: string;
}): string {
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <title>${options.title}</title>
        <link rel="stylesheet" href="${stylesheetPath}" />
        <link rel="icon" href="/assets/icon.svg" type="image/svg+xml" />
        ${options.script === undefined ? html`` : html`<script src="${options.script}" defer></script>`}
      </head>
      <body>
        ${pageTop}
        <main id="main" class="page">${options.body}</main>
      </body>
    </html> `.text;
}
