// The words of `when`: the variables with their members and types, and the functions that are ours. What is not here
// does not exist in an expression, and a misspelt word is found when the file is read.

/** A CEL type, or members of its own. */
type MemberType = string | Readonly<Record<string, string>>;

/** Members of each variable, with CEL types. */
export const variables = {
  principal: {
    subject: 'string',
    /** Name in issuers.yaml. */
    issuer: 'string',
    /** Empty when the credential names no client. */
    client_id: 'string',
    tenant_id: 'string',
    /** After assignments and hierarchy. */
    roles: 'list<string>',
    /** Reading them is an error while they are not known (groups_known). */
    groups: 'list<string>',
    /** False for a token that says it has more groups than it lists. */
    groups_known: 'bool',
    /** `user`, `app` or `unproven` for Entra; empty for other issuers. */
    identity_type: 'string',
    scopes: 'list<string>',
    /** Empty when the issuer did not say. */
    acr: 'string',
    amr: 'list<string>',
    /** Absent when the issuer did not say: ask with has(). */
    authenticated_at: 'google.protobuf.Timestamp',
    /** All claims as they stand in the access token; an absent one is an error: ask with has(). */
    claims: 'map<string, dyn>',
  },
  request: {
    /** Name of the route in routes.yaml. */
    route: 'string',
    action: 'string',
    /** Empty for actions about no model. */
    model: 'string',
    stream: 'bool',
    /** The highest of max_tokens and its other spellings; 0 when none is given, which leaves it to the upstream. */
    max_tokens: 'int',
    /** Answers asked for. */
    n: 'int',
    message_count: 'int',
    /** Texts in `prompt` or `input`. */
    prompt_count: 'int',
    tool_count: 'int',
    /** Header fields by name in lower case, those that carry credentials left out; a field that is not there is an error: ask with `in`. */
    headers: 'map<string, string>',
  },
  subject: {
    /** `principal`, or a type of access.yaml. */
    type: 'string',
    id: 'string',
    /** The claims of a principal; of a subject of another service, what is known or stated of it. */
    properties: 'map<string, dyn>',
  },
  action: {
    name: 'string',
    /** What another service stated of the action; empty for requests to the gateway. */
    properties: 'map<string, dyn>',
  },
  resource: {
    /** `model`, `gateway`, or a type of access.yaml. */
    type: 'string',
    id: 'string',
    /** Of a resource of another service, what is known or stated of it; else empty. */
    properties: 'map<string, dyn>',
    /** Name of the upstream that serves the model; empty without one. */
    upstream: 'string',
    /** What the configuration states about the model; its members are known when the policies are read. */
    attributes: {},
  },
  environment: {
    now: 'google.protobuf.Timestamp',
    caller_address: 'string',
    /** The context that another service stated; empty for requests to the gateway. */
    context: 'map<string, dyn>',
  },
} as const satisfies Record<string, Record<string, MemberType>>;

/** The name of a variable of `when`. */
export type VariableName = keyof typeof variables;

/** The variables with the members of `resource.attributes` filled in. */
export function vocabularyWith(
  attributes: Readonly<Record<string, string>>,
): Readonly<Record<VariableName, Readonly<Record<string, MemberType>>>> {
  return { ...variables, resource: { ...variables.resource, attributes } };
}

/** Whether a word is a variable of `when`. */
export function isVariable(word: string): word is VariableName {
  return Object.hasOwn(variables, word);
}

/** Longest list of an access token that an expression may walk; a longer one fails the expression. */
export const longestList = 1_024;
