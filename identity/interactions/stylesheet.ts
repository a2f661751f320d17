// The one stylesheet of the sign-in pages: no script, no foreign origin, light and dark, large text safe.
import { createHash } from 'node:crypto';

const css = `
:root { color-scheme: light dark; --page: #f3f5f8; --card: #fff; --text: #16202e; --soft: #4d5b6e; --line: #8794a6;
  --rule: #dde3ea; --accent: #0b57a4; --accent-text: #fff; --bad: #a3160f; --bad-soft: #fdeceb; --good: #14663a; --code: #eaf1f9; }
@media (prefers-color-scheme: dark) { :root { --page: #0f151d; --card: #18212c; --text: #e9eef5; --soft: #a9b6c6;
  --line: #71809a; --rule: #2c3848; --accent: #7db8f5; --accent-text: #08203a; --bad: #ffb0a8; --bad-soft: #3a1a1a;
  --good: #86dba8; --code: #10263d; } }
*, *::before, *::after { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; background: var(--page); color: var(--text); line-height: 1.5;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
.frame { max-width: 30rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
@media (min-height: 46rem) { .frame { padding-top: 10vh; } }
.brand { display: flex; gap: .6rem; align-items: center; margin: 0 0 1rem; font-weight: 650; letter-spacing: .01em; }
.brand svg { width: 1.75rem; height: 1.75rem; flex: none; }
main { background: var(--card); border: 1px solid var(--rule); border-radius: .75rem; padding: 1.75rem;
  box-shadow: 0 1px 2px rgb(0 0 0 / .06), 0 8px 24px rgb(0 0 0 / .05); }
@media (max-width: 26rem) { main { padding: 1.25rem; } }
h1 { margin: 0 0 .5rem; font-size: 1.5rem; line-height: 1.25; }
h2 { margin: 1.5rem 0 .25rem; font-size: 1rem; }
p { margin: .5rem 0; }
.soft { color: var(--soft); }
label { display: block; margin: 1.1rem 0 .3rem; font-weight: 600; }
input { width: 100%; padding: .65rem .75rem; font: inherit; color: inherit; background: var(--card);
  border: 1px solid var(--line); border-radius: .4rem; }
input.code { font: 600 1.5rem/1.3 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; letter-spacing: .12em;
  text-align: center; text-transform: uppercase; }
input[aria-invalid="true"] { border-color: var(--bad); border-width: 2px; }
.hint { margin: .3rem 0 0; color: var(--soft); font-size: .925rem; }
button, .button { display: block; width: 100%; margin: 1.25rem 0 0; padding: .75rem 1rem; font: inherit; font-weight: 650;
  text-align: center; text-decoration: none; color: var(--accent-text); background: var(--accent); cursor: pointer;
  border: 1px solid transparent; border-radius: .4rem; }
button.plain { margin-top: .75rem; color: var(--text); background: transparent; border-color: var(--line); font-weight: 500; }
button:hover, .button:hover { filter: brightness(1.08); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
a { color: var(--accent); }
.problem { margin: 1rem 0; padding: .75rem 1rem; color: var(--bad); background: var(--bad-soft);
  border-left: 4px solid var(--bad); border-radius: .25rem; font-weight: 550; }
.usercode { margin: 1rem 0; padding: .9rem .5rem; background: var(--code); border-radius: .5rem; text-align: center;
  font: 700 1.9rem/1.2 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; letter-spacing: .1em; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: auto 1fr; gap: .35rem 1rem; margin: 1rem 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
ul { margin: .25rem 0 1rem; padding-left: 1.25rem; }
li { margin: .25rem 0; }
.mark { display: block; width: 3rem; height: 3rem; margin: 0 0 .75rem; color: var(--good); }
.mark.bad { color: var(--bad); }
.signed-in { margin: 1.25rem 0 0; padding-top: 1rem; border-top: 1px solid var(--rule); color: var(--soft); font-size: .925rem; }
@media (prefers-reduced-motion: reduce) { * { transition: none !important; animation: none !important; } }
@media (forced-colors: active) { .problem, main { border: 1px solid; } }
`;

/** Text and path; the path changes with the text, so that it may be cached for ever. */
export const stylesheet = {
  text: css,
  path: `/assets/sign-in-${createHash('sha256').update(css).digest('hex').slice(0, 12)}.css`,
} as const;
