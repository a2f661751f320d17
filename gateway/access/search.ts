// Searches: which subjects, resources or actions would be permitted. The world is closed: models, and what access.yaml
// names; a result is what an evaluation of it would permit.
import { hash } from 'node:crypto';
import type { Asker } from './asker.ts';
import { judgeAll, prepare } from './judge.ts';
import {
  actionOf,
  contextOf,
  entityOf,
  isObject,
  malformed,
  typeAt,
  type Json,
  type Question,
} from './question.ts';

/** What is searched for. */
export type Sought = 'subject' | 'resource' | 'action';

/** Results of one page, when the request does not say and at most. */
export const pageSize = { usual: 100, most: 1_000 };

/** Candidates that are judged together. */
const chunkSize = 100;

interface Candidate {
  readonly question: Question;
  readonly result: Json;
}

/** Searches a page. @throws GatewayError `body_invalid` */
export async function search(sought: Sought, json: Json, asker: Asker): Promise<Json> {
  const candidates = candidatesFor[sought](json, asker);
  const page = pageOf(sought, json);
  const results: Json[] = [];
  let next = '';
  for (let start = page.from; start < candidates.length && next === ''; start += chunkSize) {
    const chunk = candidates
      .slice(start, start + chunkSize)
      .map(({ question, result }) => ({ prepared: prepare(question, asker), result }));
    const judge = await judgeAll(
      chunk.map((each) => each.prepared),
      asker.snapshot,
    );
    for (const [index, { prepared, result }] of chunk.entries()) {
      await asker.breathe();
      if (!judge(prepared).permitted) continue;
      // The page ends where the next result is, so that an empty token means that there is none.
      if (results.length === page.limit) next = `${start + index}.${page.fingerprint}`;
      if (next !== '') break;
      results.push(result);
    }
  }
  asker.noteSearch({ ...shownQuestion(sought, json), found: results.length });
  const isPaged = page.isAsked || next !== '';
  return { results, ...(isPaged ? { page: { next_token: next, count: results.length } } : {}) };
}

/** The question for the audit record, `*` for what is sought; it is of the form, as the candidates were read from it. */
function shownQuestion(sought: Sought, json: Json): Record<'subject' | 'action' | 'resource', string> {
  const shown = (member: 'subject' | 'resource'): string =>
    member === sought ? `${typeAt(json, member)}:*` : shownEntity(entityOf(json, member));
  return {
    subject: shown('subject'),
    action: sought === 'action' ? '*' : actionOf(json).name,
    resource: shown('resource'),
  };
}

const shownEntity = ({ type, id }: Question['subject']): string => `${type}:${id}`;

const nothingStated: Json = {};

const candidatesFor: Readonly<Record<Sought, (json: Json, asker: Asker) => readonly Candidate[]>> = {
  subject(json, { snapshot }) {
    const type = typeAt(json, 'subject');
    const rest = { action: actionOf(json), resource: entityOf(json, 'resource'), context: contextOf(json) };
    // Principals are known by their access tokens alone, so none is found.
    return [...(snapshot.access.subjectTypes.get(type)?.subjects.keys() ?? [])].map((id) => ({
      question: { ...rest, subject: { type, id, properties: nothingStated } },
      result: { type, id },
    }));
  },
  resource(json, { snapshot }) {
    const type = typeAt(json, 'resource');
    const rest = { subject: entityOf(json, 'subject'), action: actionOf(json), context: contextOf(json) };
    return resourcesOf(type, snapshot).map((id) => ({
      question: { ...rest, resource: { type, id, properties: nothingStated } },
      result: { type, id },
    }));
  },
  action(json, { snapshot }) {
    const resource = entityOf(json, 'resource');
    const rest = { subject: entityOf(json, 'subject'), resource, context: contextOf(json) };
    return actionsOn(resource.type, snapshot).map((name) => ({
      question: { ...rest, action: { name, properties: nothingStated } },
      result: { name },
    }));
  },
};

function resourcesOf(type: string, { models, access }: Asker['snapshot']): readonly string[] {
  if (type === 'model') return [...models.keys()];
  if (type === 'gateway') return ['sallyport'];
  return [...(access.resourceTypes.get(type)?.resources.keys() ?? [])];
}

function actionsOn(type: string, { access }: Asker['snapshot']): readonly string[] {
  if (type === 'model') return [...access.modelRoutes.keys()];
  if (type === 'gateway') return [...access.gatewayRoutes.keys()];
  return [...(access.resourceTypes.get(type)?.actions ?? [])];
}

interface Page {
  readonly isAsked: boolean;
  readonly from: number;
  readonly limit: number;
  /** Of the question, so that a page of one search is not continued by another. */
  readonly fingerprint: string;
}

function pageOf(sought: Sought, json: Json): Page {
  const { page, subject, action, resource, context } = json;
  const fingerprint = hash(
    'sha256',
    JSON.stringify([sought, subject, action, resource, context]),
    'hex',
  ).slice(0, 24);
  if (page === undefined) return { isAsked: false, from: 0, limit: pageSize.usual, fingerprint };
  if (!isObject(page)) throw malformed('page is not an object', 'page');
  // Drafts of the specification sent the token back under the name that it came with.
  const { token: pageToken = page['next_token'] ?? '', limit = pageSize.usual } = page;
  if (typeof limit !== 'number' || !Number.isInteger(limit) || limit < 0)
    throw malformed('page.limit is not a whole number', 'page');
  if (typeof pageToken !== 'string') throw malformed('page.token is not a text', 'page');
  // A page of nothing would never end.
  const bounded = limit === 0 ? pageSize.usual : Math.min(limit, pageSize.most);
  return { isAsked: true, from: positionIn(pageToken, fingerprint), limit: bounded, fingerprint };
}

function positionIn(pageToken: string, fingerprint: string): number {
  if (pageToken === '') return 0;
  const [, position = '', stated] = /^(\d{1,9})\.([0-9a-f]{24})$/.exec(pageToken) ?? [];
  if (stated !== fingerprint) throw malformed('page.token is not of this search', 'page');
  return Number(position);
}
