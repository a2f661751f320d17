// Relations over HTTP for administrators, as the gateway forwards them.
import express, { type Request, type Response, type Router } from 'express';
import { z } from 'zod';
import type { Logger } from '../../core/log.ts';
import { sendProblem } from '../account-problem.ts';
import { administratorProblem } from '../asserted-account.ts';
import { callerOf } from '../caller.ts';
import { jsonBytes, jsonObject } from '../json-body.ts';
import type { EventLog } from '../revocation/event-log.ts';
import type { Database } from '../storage/database.ts';
import { changeRelations, listRelations, relationsPerChange } from './relations.ts';
import { parseTuple, RelationTupleError, type RelationTuple } from './tuple.ts';

export interface RelationRoutesDeps {
  readonly database: Database;
  readonly events: EventLog;
  readonly log: Logger;
}

const texts = z.array(z.string()).max(relationsPerChange).default([]);
const wantedChange = z.strictObject({ add: texts, remove: texts });

/** Routes `GET` and `POST /admin/relations`. */
export function relationRoutes(deps: RelationRoutesDeps): Router {
  const router = express.Router();
  router.get('/admin/relations', async (request, response) => {
    if (!refuses(request, response)) response.json({ tuples: await listRelations(deps.database) });
  });
  router.post('/admin/relations', jsonBytes('512kb'), async (request, response) => {
    if (!refuses(request, response)) await change(deps, request, response);
  });
  return router;
}

function refuses(request: Request, response: Response): boolean {
  const problem = administratorProblem(request);
  if (problem !== null) sendProblem(response, problem);
  return problem !== null;
}

async function change(deps: RelationRoutesDeps, request: Request, response: Response): Promise<void> {
  const body = jsonObject(request, 'a JSON object with the lists add and remove');
  if ('problem' in body) {
    sendProblem(response, body.problem);
    return;
  }
  const parsed = wantedChange.safeParse(body.json);
  if (!parsed.success) {
    const detail = `Send add and remove, each a list of at most ${relationsPerChange} texts`;
    sendProblem(response, { status: 400, code: 'body_invalid', detail });
    return;
  }
  let wanted: { add: RelationTuple[]; remove: RelationTuple[] };
  try {
    wanted = { add: parsed.data.add.map(parseTuple), remove: parsed.data.remove.map(parseTuple) };
  } catch (error) {
    if (!(error instanceof RelationTupleError)) throw error;
    sendProblem(response, { status: 400, code: 'body_invalid', detail: error.message });
    return;
  }
  const done = await changeRelations(deps.events, wanted);
  const { address, principal } = callerOf(request);
  deps.log.info({ event: 'relations_changed', by: principal?.subject, address, ...done });
  response.json(done);
}
