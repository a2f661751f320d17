// Relationships in OpenFGA, over its HTTP API: POST /stores/{id}/check for one question, /batch-check for several. What it
// does not answer clearly is not known.
import { createAnswerCache } from '../outside/answer-cache.ts';
import { createCircuit } from '../outside/circuit.ts';
import { createJsonCaller, type JsonAnswer } from '../outside/json-caller.ts';
import type { AskedOutside } from '../outside/asked-outside.ts';
import { memberRelation } from './principal-subject.ts';
import type { OpenFgaConfig } from './relations-config.ts';
import { questionKey, type RelationAnswer, type RelationQuestion, type RelationStore } from './store.ts';

/** A store elsewhere, with a lifetime. */
export interface RemoteRelationStore extends RelationStore {
  check(batch: readonly RelationQuestion[]): Promise<readonly RelationAnswer[]>;
  /** Why it does not answer, in words for an operator; null when it does. */
  problem(): string | null;
  close(): Promise<void>;
}

/** Who hears of what is asked. */
export interface OpenFgaOptions {
  readonly onAsked: (asked: AskedOutside) => void;
  /** The store stopped or began to answer; null: it answers. */
  readonly onTurn: (problem: string | null) => void;
}

/** OpenFGA takes so many at once, unless it is told otherwise. */
const maxBatch = 50;
/** OpenFGA takes so many contextual tuples with one question. */
const maxContextualTuples = 100;

/** In the words of OpenFGA. */
type TupleKey = Readonly<Record<string, string>>;
const tupleKey = (subject: string, relation: string, object: string): TupleKey => ({
  // eslint-disable-next-line id-denylist -- a name of OpenFGA's API.
  user: subject,
  relation,
  object,
});
interface Check {
  readonly tuple_key: TupleKey;
  readonly contextual_tuples?: { readonly tuple_keys: readonly TupleKey[] };
}

/** Creates the store; opens connections when it is asked. @throws Error when a secret or PEM file cannot be read */
export function createOpenFgaStore(
  config: OpenFgaConfig,
  { onAsked, onTurn }: OpenFgaOptions,
): RemoteRelationStore {
  const caller = createJsonCaller(config);
  const circuit = createCircuit({ onTurn });
  const cache = createAnswerCache<RelationAnswer>({
    entries: config.cache_entries,
    ttlMs: config.cache_ms,
    keeps: (answer) => answer !== null,
    onHits: (count) => onAsked({ outcome: 'cached', count, seconds: null }),
  });
  const base = `${config.url.replace(/\/+$/, '')}/stores/${config.store_id}`;
  const common = {
    authorization_model_id: config.authorization_model_id,
    consistency: config.consistency.toUpperCase(),
  };
  let hasBatch = true;

  /** Null when there was no answer, or one that says that OpenFGA is not well. */
  const ask = async (path: string, body: object): Promise<JsonAnswer | null> => {
    if (!circuit.admits()) return null;
    const startedAt = performance.now();
    const answer = await caller
      .ask({ url: `${base}/${path}`, body: { ...body, ...common } })
      .catch((error: unknown) => {
        circuit.failed(error instanceof Error ? error.message : 'the request failed');
        return null;
      });
    const seconds = (performance.now() - startedAt) / 1_000;
    if (answer !== null && isUnwell(answer))
      circuit.failed(`the answer is ${answer.status}${codeOf(answer)}`);
    else if (answer !== null) circuit.succeeded();
    onAsked({ outcome: answer?.status === 200 ? 'answered' : 'failed', count: 1, seconds });
    return answer;
  };

  const checkOne = async (check: Check): Promise<RelationAnswer> => {
    const answer = await ask('check', check);
    return answer?.status === 200 ? allowedIn(answer.json) : null;
  };

  const checkMany = async (checks: readonly Check[]): Promise<readonly RelationAnswer[]> => {
    const [only, ...others] = checks;
    if (only !== undefined && others.length === 0) return [await checkOne(only)];
    if (!hasBatch) return Promise.all(checks.map(checkOne));
    const answer = await ask('batch-check', {
      checks: checks.map((check, index) => ({ ...check, correlation_id: `q${index}` })),
    });
    if (answer?.status === 404 && answer.json?.['code'] === 'undefined_endpoint') {
      hasBatch = false; // OpenFGA before 1.8.
      return Promise.all(checks.map(checkOne));
    }
    const results = answer?.status === 200 ? objectOf(answer.json?.['result']) : null;
    return checks.map((_, index) => allowedIn(objectOf(results?.[`q${index}`])));
  };

  const checkAll = async (questions: readonly RelationQuestion[]): Promise<readonly RelationAnswer[]> => {
    const checks = questions.map(checkOf);
    const good = checks.flatMap((check) => check ?? []);
    const batches = Array.from({ length: Math.ceil(good.length / maxBatch) }, (_, index) =>
      checkMany(good.slice(index * maxBatch, (index + 1) * maxBatch)),
    );
    const answers = (await Promise.all(batches)).flat();
    let next = 0;
    return checks.map((check) => (check === null ? null : (answers[next++] ?? null)));
  };

  return {
    check: (batch) =>
      cache.answers(batch.map(questionKey), (positions) =>
        checkAll(positions.flatMap((position) => batch[position] ?? [])),
      ),
    problem: () => circuit.problem(),
    close: () => caller.close(),
  };
}

/** Null for somebody with more groups than OpenFGA takes: leaving some out could hide the one that is banned. */
function checkOf({ subject, relation, object }: RelationQuestion): Check | null {
  if (subject.memberships.size > maxContextualTuples) return null;
  const memberships = Array.from(subject.memberships, (userset) =>
    tupleKey(subject.name, memberRelation, userset.slice(0, userset.indexOf('#'))),
  );
  return {
    tuple_key: tupleKey(subject.name, relation, object),
    ...(memberships.length === 0 ? {} : { contextual_tuples: { tuple_keys: memberships } }),
  };
}

/** A question that it does not take (400, 404, 422) is a question without an answer; these are a service without answers. */
function isUnwell({ status, json }: JsonAnswer): boolean {
  return status >= 500 || status === 401 || status === 403 || status === 429 || json === null;
}

const objectOf = (value: unknown): Readonly<Record<string, unknown>> | null =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>) // A JSON object has string keys.
    : null;

function allowedIn(result: Readonly<Record<string, unknown>> | null): RelationAnswer {
  const allowed = result?.['allowed'];
  return typeof allowed === 'boolean' && result?.['error'] === undefined ? allowed : null;
}

/** OpenFGA names its errors by a closed set of words. */
function codeOf({ json }: JsonAnswer): string {
  const code = json?.['code'];
  return typeof code === 'string' && /^[a-z_]{1,64}$/.test(code) ? ` ${code}` : '';
}
