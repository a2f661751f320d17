// The frame of every page a person sees, and the response headers that go with it.
import { html, type Html } from './html.ts';
import { stylesheet } from './stylesheet.ts';

export interface Page {
  readonly title: string;
  readonly content: Html;
}

/** Content security policy of a page; a form may lead to the listed origins besides our own. */
export function pagePolicy(formOrigins: readonly string[] = []): string {
  const forms = ["'self'", ...formOrigins].join(' ');
  return `default-src 'none'; style-src 'self'; img-src 'self'; form-action ${forms}; frame-ancestors 'none'; base-uri 'none'`;
}

/**
 * Policy of answers that oidc-provider writes itself: its self-submitting forms (response_mode=form_post, sign-out)
 * go to registered addresses, and their one script is admitted by its hash.
 */
export const providerPolicy =
  "default-src 'none'; style-src 'self'; script-src; frame-ancestors 'none'; base-uri 'none'";

const emblem = html`<svg viewBox="0 0 32 32" aria-hidden="true" focusable="false">
  <path fill="currentColor" d="M4 29V13A12 12 0 0 1 28 13v16h-7V14a5 5 0 0 0-10 0v15z" />
  <path fill="currentColor" d="M14 29V15a2 2 0 0 1 4 0v14z" opacity=".45" />
</svg>`;

/** A whole document. */
export function renderPage(page: Page): string {
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="robots" content="noindex" />
        <title>${page.title} – Sallyport</title>
        <link rel="stylesheet" href="${stylesheet.path}" />
      </head>
      <body>
        <div class="frame">
          <header class="brand">${emblem}<span>Sallyport</span></header>
          <main>${page.content}</main>
        </div>
      </body>
    </html> `.text;
}
