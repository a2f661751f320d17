// `sallyport policy repl`: expressions of rules, evaluated for one caller and one request, line by line. Offline: the token or
// claims go nowhere, and nothing is kept.
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { createCelEnvironment } from '../../gateway/authorize/cel/environment.ts';
import { checkExpression } from '../../gateway/authorize/cel/check-expression.ts';
import { principalValues, requestValues } from '../../gateway/authorize/cel/request-values.ts';
import { factsOf } from '../../gateway/authorize/decide.ts';
import { compileModel } from '../../gateway/authorize/relations/index.ts';
import { attributeTypes, celAttributes } from '../../gateway/model-attributes.ts';
import { createEvaluator, routeFor } from '../../gateway/policies/evaluation/evaluate.ts';
import { exitCodes, type ExitCode } from '../exit-codes.ts';
import { CommandFailure } from '../failure.ts';
import type { Terminal } from '../terminal.ts';
import { printable } from '../wording.ts';
import { credentialOf, type ExplainOptions } from './explain-command.ts';
import { openPolicies, type OpenedPolicies } from './opened-policies.ts';
import { paintFor } from './paint.ts';

export interface ReplOptions extends Omit<ExplainOptions, 'action' | 'now'> {
  readonly action: string;
  readonly request?: string;
}

/** Answers each line of stdin; 5 when a line could not be evaluated and nobody sits there to see it. */
export async function replCommand(options: ReplOptions, terminal: Terminal): Promise<ExitCode> {
  const opened = openPolicies(options.policies, options);
  const evaluate = expressionsFor(options, opened);
  const paint = paintFor(terminal);
  const isTalking = terminal.interactive && terminal.stdout.isTTY === true;
  if (isTalking)
    terminal.say(
      'One expression a line, such as  principal.roles  or  request.max_tokens > 100.  Ctrl-D ends.',
    );
  const lines = createInterface({
    input: terminal.stdin,
    ...(isTalking ? { output: terminal.stdout, terminal: true } : {}),
    prompt: '> ',
  });
  let failed = false;
  if (isTalking) lines.prompt();
  for await (const line of lines) {
    const expression = line.trim();
    if (expression !== '') {
      const { value, fault } = evaluate(expression);
      if (options.json === true) terminal.json({ expression, value: fault === null ? value : null, fault });
      else
        terminal.write(
          `${fault === null ? printable(JSON.stringify(value)) : `${paint.red('✗')} ${printable(fault)}`}\n`,
        );
      failed ||= fault !== null;
    }
    if (isTalking) lines.prompt();
  }
  return failed && !isTalking ? exitCodes.testsFailed : exitCodes.done;
}

interface Evaluated {
  /** As JSON has it; null beside a fault. */
  readonly value: unknown;
  readonly fault: string | null;
}

function expressionsFor(options: ReplOptions, opened: OpenedPolicies): (expression: string) => Evaluated {
  const { context, bundle } = opened;
  const evaluator = createEvaluator(opened);
  const now = Date.now();
  const { action, from } = options;
  const model = options.model ?? null;
  const route = routeFor(evaluator.snapshot, { action, route: null });
  if (route === undefined) throw usage(`No route has the action ${action}.`);
  if (
    [options.tokenFile, options.claims, options.certificate, options.roles].filter(
      (each) => each !== undefined,
    ).length !== 1
  )
    throw usage('Name one of --token-file, --claims, --certificate and --roles.');
  const credential = credentialOf(options, opened, now);
  const { principal, refusal } = evaluator.answer({
    credential,
    action,
    route: null,
    model,
    request: null,
    now,
    from,
    brief: true,
  });
  if (principal === null)
    throw new CommandFailure(
      exitCodes.refused,
      `The credential is refused (${refusal?.reason ?? refusal?.code ?? ''}).`,
      {
        hints: ['Why:  sallyport policy explain'],
        code: 'credential_refused',
      },
    );
  const facts = factsOf(
    {
      subject: { type: 'principal', id: principal.key, properties: principal },
      action: { name: action },
      resource: model === null ? { type: 'gateway', id: 'sallyport' } : { type: 'model', id: model },
      context: { now, callerAddress: from, route: route.name, body: bodyIn(options.request) },
    },
    evaluator.snapshot,
  );
  const known = context.modelAttributes ?? new Map<string, never>();
  const types = attributeTypes(known.values());
  const environment = createCelEnvironment(types, (relation, object, subject) =>
    facts.relations.related(facts, { relation, object, subject }),
  );
  const given = model === null ? undefined : known.get(model);
  const values = {
    principal: principalValues(facts),
    request: { ...requestValues.request(facts), headers: new Map<string, string>() },
    resource: {
      ...requestValues.resource(facts),
      attributes: given === undefined ? {} : celAttributes(given, types),
    },
    environment: requestValues.environment(facts),
  };
  const relations = compileModel(bundle.relations.types);
  return (expression) => {
    // A rule must yield bool; here every part of one may be looked at.
    const [fault] = checkExpression(expression, environment, { attributes: types, relations }).filter(
      ({ code }) => code !== 'cel_not_bool',
    );
    if (fault !== undefined) {
      const hint = fault.suggestion === undefined ? '' : `; did you mean ${fault.suggestion}?`;
      return { value: null, fault: `${fault.message}${hint}` };
    }
    try {
      const value: unknown = environment.parse(expression)(values);
      return { value: plain(value), fault: null };
    } catch (error) {
      return {
        value: null,
        fault: `${error instanceof Error ? (error.message.split('\n')[0] ?? '') : 'failed'}: in a rule, nothing is permitted by this`,
      };
    }
  };
}

/** Values of CEL as JSON has them. */
function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Map)
    return Object.fromEntries([...value].map(([key, each]) => [String(key), plain(each)]));
  if (value instanceof Set) return [...value].map(plain);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plain(each)]));
}

function bodyIn(path: string | undefined): Readonly<Record<string, unknown>> | null {
  if (path === undefined) return null;
  try {
    const body: unknown = JSON.parse(readFileSync(path, 'utf8'));
    if (typeof body === 'object' && body !== null && !Array.isArray(body))
      return body as Record<string, unknown>; // Parsed JSON: an object, narrowed above.
  } catch {
    // Said below.
  }
  throw usage(`${path} does not hold a request body as JSON.`);
}

function usage(sentence: string): CommandFailure {
  return new CommandFailure(exitCodes.usage, sentence, { code: 'usage' });
}
