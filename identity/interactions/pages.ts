// The pages themselves: sign in, enter a code, confirm a device, consent, done, problem. Plain forms that work without
// script; each error stands beside its field and is read out with it.
import { html, type Html } from './html.ts';
import type { Page } from './layout.ts';

const tick = html`<svg
  class="mark"
  viewBox="0 0 48 48"
  fill="none"
  stroke="currentColor"
  stroke-width="4"
  aria-hidden="true"
>
  <circle cx="24" cy="24" r="21" />
  <path d="m14 25 7 7 13-15" stroke-linecap="round" stroke-linejoin="round" />
</svg>`;
const cross = html`<svg
  class="mark bad"
  viewBox="0 0 48 48"
  fill="none"
  stroke="currentColor"
  stroke-width="4"
  aria-hidden="true"
>
  <circle cx="24" cy="24" r="21" />
  <path d="m17 17 14 14M31 17 17 31" stroke-linecap="round" />
</svg>`;

const problemBox = (problem: string | null, id = 'problem'): Html | null =>
  problem === null ? null : html`<p class="problem" id="${id}" role="alert">${problem}</p>`;

const hidden = (fields: Readonly<Record<string, string>>): Html[] =>
  Object.entries(fields).map(
    ([name, value]) => html`<input type="hidden" name="${name}" value="${value}" />`,
  );

/** Form protection and where the form goes. */
export interface FormTarget {
  readonly action: string;
  readonly fields: Readonly<Record<string, string>>;
}

/** Asks for the code that a device shows. */
export function enterCodePage(
  form: FormTarget,
  state: { code?: string | undefined; problem: string | null },
): Page {
  const invalid = state.problem === null ? null : html` aria-invalid="true"`;
  const described = state.problem === null ? 'code-hint' : 'problem code-hint';
  return {
    title: state.problem === null ? 'Enter the code' : 'Problem: enter the code',
    content: html`<h1>Enter the code</h1>
      <p class="soft">The program that asked you to sign in shows a code.</p>
      <form method="post" action="${form.action}" autocomplete="off">
        ${hidden(form.fields)}${problemBox(state.problem)}
        <label for="user_code">Code</label>
        <input
          class="code"
          id="user_code"
          name="user_code"
          value="${state.code ?? ''}"
          placeholder="XXXX-XXXX"
          maxlength="24"
          required
          autofocus
          autocapitalize="characters"
          spellcheck="false"
          autocomplete="off"
          aria-describedby="${described}"
          ${invalid}
        />
        <p class="hint" id="code-hint">Eight letters; the dash and the case do not matter.</p>
        <button type="submit">Continue</button>
      </form>`,
  };
}

/** Asks for user name and password. */
export function signInPage(
  form: FormTarget,
  state: { username: string; clientName: string; problem: string | null },
): Page {
  const invalid = state.problem === null ? null : html` aria-invalid="true" aria-describedby="problem"`;
  const [nameFocus, passwordFocus] =
    state.username === '' ? [html` autofocus`, null] : [null, html` autofocus`];
  return {
    title: state.problem === null ? 'Sign in' : 'Problem: sign in',
    content: html`<h1>Sign in</h1>
      <p class="soft">to continue to ${state.clientName}</p>
      <form method="post" action="${form.action}">
        ${hidden(form.fields)}${problemBox(state.problem)}
        <label for="username">Username</label>
        <input
          id="username"
          name="username"
          value="${state.username}"
          maxlength="128"
          required
          autocomplete="username"
          autocapitalize="none"
          spellcheck="false"
          ${nameFocus}${invalid}
        />
        <label for="password">Password</label>
        <input
          id="password"
          name="password"
          type="password"
          maxlength="1024"
          required
          autocomplete="current-password"
          ${passwordFocus}${invalid}
        />
        <button type="submit">Sign in</button>
      </form>`,
  };
}

export interface DeviceRequest {
  readonly userCode: string;
  readonly clientName: string;
  readonly rights: readonly string[];
  readonly address: string;
  readonly agent: string;
  /** When the device asked. */
  readonly at: Date;
  readonly username: string;
  readonly signOutUrl: string;
}

/** Shows what a device asks for and from where; nothing happens without the press. */
export function confirmDevicePage(form: FormTarget, request: DeviceRequest): Page {
  return {
    title: 'Does this match?',
    content: html`<h1>Does this code match?</h1>
      <p>Go on only if <strong>you</strong> started this sign-in and your program shows exactly this code:</p>
      <p class="usercode">${request.userCode}</p>
      <dl>
        <dt>Program</dt>
        <dd>${request.clientName}</dd>
        <dt>From</dt>
        <dd>${request.address}</dd>
        <dt>With</dt>
        <dd>${request.agent === '' ? 'an unnamed program' : request.agent}</dd>
        <dt>At</dt>
        <dd><time datetime="${request.at.toISOString()}">${readableTime(request.at)}</time></dd>
      </dl>
      ${rightsList(request.clientName, request.rights)}
      <form method="post" action="${form.action}">
        ${hidden(form.fields)}
        <button type="submit" name="decision" value="grant">It matches – sign in</button>
        <button type="submit" name="decision" value="deny" class="plain">It does not match – refuse</button>
      </form>
      ${signedInAs(request)}`,
  };
}

/** Asks whether an application may act in the person's name. */
export function consentPage(
  form: FormTarget,
  request: {
    clientName: string;
    destination: string;
    rights: readonly string[];
    username: string;
    signOutUrl: string;
  },
): Page {
  return {
    title: `Allow ${request.clientName}?`,
    content: html`<h1>Allow ${request.clientName}?</h1>
      <p class="soft">You will return to ${request.destination}.</p>
      ${rightsList(request.clientName, request.rights)}
      <form method="post" action="${form.action}">
        ${hidden(form.fields)}
        <button type="submit" name="decision" value="grant">Allow</button>
        <button type="submit" name="decision" value="deny" class="plain">Refuse</button>
      </form>
      ${signedInAs(request)}`,
  };
}

/** The device is signed in. */
export function deviceDonePage(clientName: string): Page {
  return {
    title: 'Signed in',
    content: html`${tick}
      <h1>You are signed in</h1>
      <p>${clientName} continues by itself. You can close this page.</p>`,
  };
}

/** The person refused the device. */
export function deviceDeniedPage(): Page {
  return {
    title: 'Refused',
    content: html`${cross}
      <h1>Sign-in refused</h1>
      <p>The program gets no access, and its code no longer works. You can close this page.</p>
      <p class="soft">If somebody sent you that code, tell your administrator.</p>`,
  };
}

/** Something went wrong; the sentence says what to do next. */
export function problemPage(heading: string, sentence: string, next?: { href: string; text: string }): Page {
  return {
    title: heading,
    content: html`${cross}
      <h1>${heading}</h1>
      <p>${sentence}</p>
      ${next === undefined ? null : html`<a class="button" href="${next.href}">${next.text}</a>`}`,
  };
}

/** Asks whether to end the browser's session. */
export function confirmSignOutPage(form: FormTarget, username: string): Page {
  return {
    title: 'Sign out',
    content: html`<h1>Sign out?</h1>
      <p>You are signed in as <strong>${username}</strong>. Programs that you signed in stay signed in.</p>
      <form method="post" action="${form.action}">
        ${hidden(form.fields)}
        <button type="submit" name="logout" value="yes">Sign out</button>
        <button type="submit" class="plain">Stay signed in</button>
      </form>`,
  };
}

/** The browser's session is over. */
export function signedOutPage(): Page {
  return {
    title: 'Signed out',
    content: html`${tick}
      <h1>You are signed out</h1>
      <p>You can close this page.</p>`,
  };
}

/** What lies at the root. */
export function startPage(): Page {
  return {
    title: 'Sign-in service',
    content: html`<h1>Sign-in service</h1>
      <p>This is where people sign in to Sallyport. If a program gave you a code, enter it here.</p>
      <a class="button" href="/device">Enter a code</a>`,
  };
}

function rightsList(clientName: string, rights: readonly string[]): Html {
  const items =
    rights.length === 0 ? [html`<li>Know who you are</li>`] : rights.map((right) => html`<li>${right}</li>`);
  return html`<h2>${clientName} will be able to</h2>
    <ul>
      ${items}
    </ul>`;
}

function signedInAs(request: { username: string; signOutUrl: string }): Html {
  return html`<p class="signed-in">
    You are signed in as <strong>${request.username}</strong>. <a href="${request.signOutUrl}">Sign out</a>
  </p>`;
}

function readableTime(at: Date): string {
  return at.toLocaleString('en-GB', { dateStyle: 'medium', timeStyle: 'medium', timeZone: 'UTC' }) + ' UTC';
}
