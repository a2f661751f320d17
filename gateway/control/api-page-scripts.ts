// The two scripts of the API page. Swagger UI expects the sign-in window to find its opener; issuers that isolate their
// pages (Cross-Origin-Opener-Policy) cut that tie, so the answer comes back over a channel of our own origin instead.

const channel = 'sallyport-sign-in';

/** Fills the API page; `settings` is our own object, nothing of a caller's. */
export function apiPageScript(settings: Readonly<Record<string, unknown>>): string {
  return `const settings = ${JSON.stringify(settings)};
const dark = window.matchMedia('(prefers-color-scheme: dark)');
const follow = () => document.documentElement.classList.toggle('dark-mode', dark.matches);
dark.addEventListener('change', follow);
follow();

new BroadcastChannel('${channel}').addEventListener('message', ({ data: answer }) => {
  const signIn = window.swaggerUIRedirectOauth2;
  const parameters = new URLSearchParams(answer);
  // RFC 6749 section 10.12: an answer that this page did not ask for is dropped.
  if (!signIn || parameters.get('state') !== signIn.state) return;
  delete signIn.state;
  const code = parameters.get('code');
  if (code) {
    signIn.auth.code = code;
    signIn.callback({ auth: signIn.auth, redirectUrl: signIn.redirectUrl });
    return;
  }
  const message = parameters.get('error_description') || parameters.get('error') || 'The issuer sent no code.';
  signIn.errCb({ authId: signIn.auth.name, source: 'auth', level: 'error', message });
});

window.addEventListener('load', () => {
  const ui = SwaggerUIBundle({
    url: '/openapi.json',
    dom_id: '#api',
    deepLinking: true,
    validatorUrl: null,
    oauth2RedirectUrl: settings.redirectUrl,
    presets: [SwaggerUIBundle.presets.apis],
    // A public client has no secret; an empty one would make the issuer refuse the client.
    requestInterceptor: (request) => {
      if (typeof request.body === 'string') request.body = request.body.replace(/&client_secret=(?=&|$)/, '');
      return request;
    },
  });
  ui.initOAuth({
    clientId: settings.clientId,
    scopes: settings.scopes,
    usePkceWithAuthorizationCodeGrant: true,
    appName: 'Sallyport',
  });
});
`;
}

/** Runs in the sign-in window when the issuer has sent it back: hands the answer over and closes. */
export const signedInScript = `new BroadcastChannel('${channel}').postMessage(window.location.search.slice(1));
window.history.replaceState(null, '', window.location.pathname);
window.close();
`;
