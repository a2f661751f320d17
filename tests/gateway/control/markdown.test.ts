import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { markdownTitle, renderMarkdown } from '../../../gateway/control/markdown.ts';

const render = (source: string): string =>
  renderMarkdown(source, (target) => (target.endsWith('.md') ? `/docs/${target}` : null));

describe('a manual page', () => {
  for (const [what, source, expected] of [
    ['a heading', '## Two *words*', '<h2>Two <em>words</em></h2>'],
    ['a paragraph over two lines', 'one\ntwo', '<p>one two</p>'],
    ['a list with a continued item', '- one\n  more\n- two', '<ul><li>one more</li><li>two</li></ul>'],
    ['a numbered list', '1. one\n2. two', '<ol><li>one</li><li>two</li></ol>'],
    [
      'a code block as it stands',
      '```yaml\na: <b> *c*\n```',
      '<pre tabindex="0"><code>a: &lt;b&gt; *c*</code></pre>',
    ],
    ['a code block without an end', '```\na', '<pre tabindex="0"><code>a</code></pre>'],
    [
      'a table',
      '| a | b |\n|---|---|\n| `x` | y \\| z |',
      '<div class="table" tabindex="0"><table><thead><tr><th scope="col">a</th><th scope="col">b</th></tr></thead><tbody><tr><td><code>x</code></td><td>y | z</td></tr></tbody></table></div>',
    ],
    ['a quote', '> said\n> again', '<blockquote><p>said again</p></blockquote>'],
    ['bold text', '**not** so', '<p><strong>not</strong> so</p>'],
    ['names with underscores', 'a_b_c and *_total', '<p>a_b_c and *_total</p>'],
    ['a link to a page', '[see `x`](x.md)', '<p><a href="/docs/x.md">see <code>x</code></a></p>'],
  ] as const) {
    it(`shows ${what}`, () => assert.equal(render(source), expected));
  }

  for (const [what, source] of [
    ['an element', '<script>alert(1)</script>'],
    ['an element in a heading', '# <img src=x onerror=alert(1)>'],
    ['an element in a table', '| <b>x</b> |\n|---|\n| <script> |'],
    ['an element in a label', '[<b>x</b>](x.md)'],
    ['a quote that would leave an attribute', '[x](a"onclick="y.md)'],
    ['a link that runs a script', '[x](javascript:alert)'],
    ['code in a code span', '`<script>`'],
  ] as const) {
    it(`does not let through ${what}`, () => {
      assert.doesNotMatch(render(source), /<(script|img|b)\b|href="javascript|"onclick="/);
    });
  }

  it('has the title of its first heading', () => {
    assert.equal(markdownTitle('x\n\n# The title\n\n# Other'), 'The title');
    assert.equal(markdownTitle('none'), null);
  });
});
