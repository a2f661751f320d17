// Sends pages, and refuses forms that other sites post.
import type { RequestHandler, Response } from 'express';
import { pagePolicy, renderPage, type Page } from './layout.ts';
import { problemPage } from './pages.ts';

/** Sends a page with its policy; `formOrigins` are where its form may lead besides here. */
export function send(
  response: Response,
  page: Page,
  options: { status?: number; formOrigins?: readonly string[] } = {},
): void {
  response
    .status(options.status ?? 200)
    .set('content-security-policy', pagePolicy(options.formOrigins))
    .type('html')
    .send(renderPage(page));
}

/** The page for whatever is over or was never this browser's. */
export function expiredPage(): Page {
  const sentence =
    'It has expired, or this browser did not start it. Nothing was changed. Start again in the program you came from.';
  return problemPage('This page is no longer valid', sentence, { href: '/device', text: 'Enter a code' });
}

/** Refuses a form that another site posted, before anything is read. */
export const refuseOtherSites: RequestHandler = (request, response, next) => {
  const site = request.headers['sec-fetch-site'];
  if (site === undefined || site === 'same-origin' || site === 'none') next();
  else send(response, expiredPage(), { status: 403 });
};
