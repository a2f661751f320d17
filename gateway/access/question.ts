// Reads an AuthZEN request: strict about the members it knows, silent about others (they are ignored, as the specification
// demands), bounded in what rules may have to walk.
import { GatewayError } from '../../core/errors.ts';
import { longestList } from '../authorize/cel/vocabulary.ts';
import type { Entity, ForeignQuestion } from '../authorize/index.ts';

/** The members of a JSON object. */
export type Json = Readonly<Record<string, unknown>>;

/** A whole question: may the subject do the action on the resource, in this context. */
export type Question = ForeignQuestion;

const longest = { type: 64, id: 1_024, name: 128 };
const noProperties: Json = {};

/** A request that is not of the form; `member` is where. */
export function malformed(problem: string, member: string): GatewayError {
  return new GatewayError('body_invalid', { params: { problem }, param: member });
}

/** Reads one question. @throws GatewayError `body_invalid` */
export function questionOf(json: Json): Question {
  return {
    subject: entityOf(json, 'subject'),
    action: actionOf(json),
    resource: entityOf(json, 'resource'),
    context: contextOf(json),
  };
}

/** Reads `subject` or `resource`. */
export function entityOf(json: Json, member: 'subject' | 'resource'): Entity {
  const entity = objectAt(json, member);
  return {
    type: textAt(entity, 'type', member),
    id: textAt(entity, 'id', member),
    properties: propertiesOf(entity, member),
  };
}

/** Reads the type of what is searched for; an id and properties are ignored. */
export function typeAt(json: Json, member: 'subject' | 'resource'): string {
  return textAt(objectAt(json, member), 'type', member);
}

/** Reads `action`. */
export function actionOf(json: Json): Question['action'] {
  const action = objectAt(json, 'action');
  return { name: textAt(action, 'name', 'action'), properties: propertiesOf(action, 'action') };
}

/** Reads `context`, which may be absent. */
export function contextOf(json: Json): Json {
  const { context } = json;
  if (context === undefined) return noProperties;
  if (!isObject(context)) throw malformed('context is not an object', 'context');
  return bounded(context, 'context');
}

/**
 * One of several questions, completed from the defaults. A member of its own replaces the default as a whole, except that
 * a `type`, `id` or `name` which it lacks is taken from the default.
 */
export function withDefaults(item: unknown, defaults: Json): Json {
  if (!isObject(item)) throw malformed('an evaluation is not an object', 'evaluations');
  const merged: Record<string, unknown> = {};
  for (const [member, required] of requiredMembers) {
    const [own, common] = [item[member], defaults[member]];
    if (own === undefined) merged[member] = common;
    else if (!isObject(own) || !isObject(common)) merged[member] = own;
    else {
      const lacking = required.filter((name) => own[name] === undefined && common[name] !== undefined);
      merged[member] = { ...own, ...Object.fromEntries(lacking.map((name) => [name, common[name]])) };
    }
  }
  return merged;
}

const requiredMembers = [
  ['subject', ['type', 'id']],
  ['action', ['name']],
  ['resource', ['type', 'id']],
  ['context', []],
] as const;

/** Whether a value is a JSON object. */
export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function objectAt(json: Json, member: string): Json {
  const value = json[member];
  if (value === undefined) throw malformed(`${member} is missing`, member);
  if (!isObject(value)) throw malformed(`${member} is not an object`, member);
  return value;
}

function textAt(json: Json, name: 'type' | 'id' | 'name', member: string): string {
  const value = json[name];
  if (value === undefined) throw malformed(`${member}.${name} is missing`, member);
  if (typeof value !== 'string' || value === '') throw malformed(`${member}.${name} is not a text`, member);
  if (value.length > longest[name]) throw malformed(`${member}.${name} is too long`, member);
  return value;
}

function propertiesOf(json: Json, member: string): Json {
  const { properties } = json;
  if (properties === undefined) return noProperties;
  if (!isObject(properties)) throw malformed(`${member}.properties is not an object`, member);
  return bounded(properties, member);
}

/** Lists are walked by expressions, so their length is bounded as that of claims is. */
function bounded(json: Json, member: string): Json {
  const walk = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    const values: unknown[] = Object.values(value);
    if (values.length > longestList)
      throw malformed(`${member} holds more than ${longestList} entries`, member);
    for (const each of values) walk(each);
  };
  walk(json);
  return json;
}
