// Stylesheet, icon and script of our own pages, as text, so that a build has no files to copy.

/** Plain, light and dark, readable at 200 % zoom and 360 pixels. */
export const stylesheet = `:root {
  color-scheme: light dark;
  --text: #1a2230; --muted: #4d5a6e; --back: #f7f8fa; --panel: #ffffff; --line: #d5dae3;
  --link: #0b57a4; --good: #1a6b3c; --bad: #a1261d; --code: #eef1f6;
}
@media (prefers-color-scheme: dark) {
  :root {
    --text: #e6eaf2; --muted: #a9b4c6; --back: #12161d; --panel: #1a202a; --line: #343d4d;
    --link: #8cc0ff; --good: #7bd6a0; --bad: #ff9d94; --code: #232b38;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text); font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
a { color: var(--link); }
a:focus-visible, .snippet button:focus-visible, pre:focus-visible, .table:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; border-radius: 4px; }
.skip { position: absolute; left: -999rem; }
.skip:focus { left: 1rem; top: 1rem; background: var(--panel); padding: .5rem 1rem; z-index: 1; }
.top { border-bottom: 1px solid var(--line); background: var(--panel); }
.top nav { max-width: 52rem; margin: 0 auto; padding: .75rem 1.25rem; display: flex; flex-wrap: wrap; gap: .5rem 2rem; align-items: center; }
.top ul { display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; list-style: none; margin: 0; padding: 0; }
.brand { display: flex; gap: .6rem; align-items: center; font-weight: 650; font-size: 1.1rem; text-decoration: none; color: var(--text); }
.page { max-width: 52rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
.page h1 { font-size: 1.9rem; line-height: 1.25; margin: 0 0 .5rem; }
.page h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem; }
.page h3 { font-size: 1.05rem; margin: 1.75rem 0 .25rem; }
.lead { font-size: 1.1rem; color: var(--muted); max-width: 42rem; margin: 0 0 1.25rem; }
.state { display: inline-flex; gap: .6rem; align-items: baseline; padding: .4rem .9rem; border: 1px solid currentColor; border-radius: 2rem; font-weight: 600; margin: 0; }
.state.good { color: var(--good); } .state.bad { color: var(--bad); }
.snippet { display: flex; flex-wrap: wrap; gap: .5rem; align-items: flex-start; margin: 1rem 0; }
.snippet pre { flex: 1 1 16rem; min-width: 0; margin: 0; }
.page pre { background: var(--code); border: 1px solid var(--line); border-radius: 8px; padding: .9rem 1rem; overflow-x: auto; font: .9rem/1.55 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
.page code { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: .92em; background: var(--code); padding: .1em .3em; border-radius: 4px; }
.page pre code { background: none; padding: 0; font-size: inherit; }
.snippet button { min-width: 5rem; font: inherit; font-size: .85rem; padding: .25rem .7rem; color: var(--text); background: var(--panel); border: 1px solid var(--line); border-radius: 6px; cursor: pointer; }
.page table { border-collapse: collapse; }
.page th, .page td { border: 1px solid var(--line); padding: .4rem .7rem; text-align: left; vertical-align: top; }
.page .table { overflow-x: auto; width: max-content; max-width: min(100vw - 2.5rem, 50vw + 23.5rem); } /* To the right edge of the window. */
.page td { overflow-wrap: break-word; }
.page td:last-child { min-width: 14rem; }
.page th { background: var(--code); }
@media (max-width: 40rem) { .page th, .page td { padding: .3rem .4rem; font-size: .9rem; } .page td { overflow-wrap: anywhere; } .page td:last-child { min-width: 0; } }
.swagger-ui .auth-container .wrapper:has(label[for^="client_secret"]), .swagger-ui .auth-container div:has(> label[for^="client_secret"]) { display: none; } /* A public client has none. */
/* Swagger UI's own light colours do not reach a contrast of 4.5 to 1. */
@media (prefers-color-scheme: light) {
  body .swagger-ui .info .title small { background: #4d5a6e; }
  body .swagger-ui .info .title small.version-stamp { background: #3c6200; }
  body .swagger-ui .info a, body .swagger-ui .info .url { color: var(--link); }
  body .swagger-ui .btn.authorize, body .swagger-ui .btn.authorize span { color: #146c43; border-color: #146c43; }
  body .swagger-ui .btn.authorize svg { fill: #146c43; }
  body .swagger-ui .opblock.opblock-get .opblock-summary-method { background: #1f5f9e; }
  body .swagger-ui .opblock.opblock-post .opblock-summary-method { background: #146c43; }
  body .swagger-ui .markdown code, body .swagger-ui .renderedMarkdown code { color: #6a0dc0; }
  body .swagger-ui .json-schema-2020-12-expand-deep-button { color: #505050; }
}
body .swagger-ui pre span[style*="(211, 99, 99)"] { color: #ff9d94 !important; }
.page blockquote { margin: 1rem 0; padding: .1rem 1rem; border-left: 4px solid var(--line); color: var(--muted); }
`;

/** A gate in a wall. */
export const icon = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><path fill="#3b7dc4" d="M2 4h4v3h3V4h6v3h3V4h4v17h-7v-6a3 3 0 0 0-6 0v6H2z"/></svg>
`;

/** Gives each snippet a button that copies it; without script the text is simply selectable. */
export const copyScript = `for (const snippet of document.querySelectorAll('.snippet')) {
  const code = snippet.querySelector('code');
  const button = document.createElement('button');
  button.type = 'button';
  button.textContent = 'Copy';
  button.setAttribute('aria-live', 'polite');
  button.addEventListener('click', async () => {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = 'Copied';
    setTimeout(() => { button.textContent = 'Copy'; }, 2000);
  });
  snippet.append(button);
}
`;
