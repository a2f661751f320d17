// What a reader with bad sight, a small screen or no mouse would stumble over. Plain script as text, because it runs
// inside the page and this project's types know no document.

/** Evaluates to a list of problems of the page it runs in. */
export const findProblems = `(() => {
  const problems = [];
  const parse = (colour) => (colour.match(/[\\d.]+/g) ?? []).map(Number);
  const linear = (v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
  const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const background = (element) => {
    for (let node = element; node !== null; node = node.parentElement) {
      const colour = parse(getComputedStyle(node).backgroundColor);
      if ((colour[3] ?? 1) > 0) return colour;
    }
    return [255, 255, 255];
  };
  for (const element of document.querySelectorAll('body *')) {
    const hasText = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim() !== '');
    if (!hasText) continue;
    const [a, b] = [luminance(parse(getComputedStyle(element).color)), luminance(background(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    // WCAG 2.2, 1.4.3.
    if (contrast < 4.5) problems.push('contrast ' + contrast.toFixed(2) + ' of ' + element.textContent.trim().slice(0, 30));
  }
  for (const input of document.querySelectorAll('input:not([type=hidden])')) {
    if (input.labels.length === 0) problems.push('no label for ' + input.name);
    for (const id of (input.getAttribute('aria-describedby') ?? '').split(' ')) {
      if (id !== '' && document.getElementById(id) === null) problems.push(input.name + ' is described by nothing: ' + id);
    }
  }
  for (const target of document.querySelectorAll('input:not([type=hidden]), button, a.button')) {
    if (target.getBoundingClientRect().height < 40) problems.push(target.tagName + ' is too small to touch');
  }
  if (document.documentElement.lang !== 'en') problems.push('no lang');
  if (document.title === '') problems.push('no title');
  if (document.querySelectorAll('h1').length !== 1) problems.push('not exactly one h1');
  if (document.querySelector('main') === null) problems.push('no main');
  if (document.documentElement.scrollWidth > document.documentElement.clientWidth) problems.push('scrolls sideways');
  const form = document.querySelector('form');
  const field = form?.querySelector('input:not([type=hidden])') ?? null;
  if (field !== null && !form.contains(document.activeElement)) problems.push('the focus is not in the form');
  return problems;
})()`;
