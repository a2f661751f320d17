// What one decision costs with rules, on dist/ (`--source`: on the sources). docs/performance.md holds the figures.
const isSource = process.argv.includes('--source');
const authorizeModule = isSource ? '../gateway/authorize/index.ts' : '../dist/gateway/authorize/index.js';
const { compileRelations, compileRoles, compileRules, decide, relationsSchema, rolesSchema, rulesSchema } =
  await import(authorizeModule);

const models = new Map([['tiny-gpt2', 'embedded']]);
const attributes = new Map([['tiny-gpt2', { tier: 'small' }]]);
const authorization = compileRoles(
  rolesSchema.parse({ roles: { 'LLM.User': { permits: ['chat.completions.create'], models: ['*'] } } }),
  [...models.keys()],
);
const principal = (index) => ({
  issuerName: 'embedded',
  issuer: 'https://issuer.test',
  subject: `s${index}`,
  key: `s${index}`,
  clientId: 'cli',
  tenantId: null,
  roles: new Set(['LLM.User']),
  groups: new Set(['g1', 'g2']),
  scopes: new Set(['LLM.Access']),
  acr: null,
  amr: ['pwd'],
  authTime: 1_767_787_000,
  expiresAt: 4_000_000_000,
  claims: { plan: 'paid', level: 3 },
});
const question = (who) => ({
  subject: { type: 'principal', id: who.key, properties: who },
  action: { name: 'chat.completions.create' },
  resource: { type: 'model', id: 'tiny-gpt2' },
  context: {
    now: Date.now(),
    callerAddress: '192.0.2.7',
    route: 'chat.completions',
    body: { model: 'tiny-gpt2', max_tokens: 40, messages: [{ role: 'user', content: 'x' }] },
  },
});
const many = (count, rule) =>
  Array.from({ length: count }, (_, index) => ({ name: `r${index}`, effect: 'deny', ...rule(index) }));

const contestants = {
  'no rules': [],
  '200 rules of other actions': many(200, (index) => ({
    actions: [`other.verb.x${'abcdefghij'[index % 10]}`],
  })),
  '200 rules of other models': many(200, (index) => ({ models: [`other-${index}-*`] })),
  '200 rules of other clients and roles': many(200, (index) => ({
    clients: [`c${index}`],
    roles: ['Other'],
  })),
  '200 rules of which each looks at the address': many(200, (index) => ({ network: [`10.${index}.0.0/16`] })),
  '200 rules of mixed conditions, all but one settled': [
    ...many(199, (index) => (index % 2 === 0 ? { models: [`m${index}`] } : { roles: [`R${index}`] })),
    { name: 'cel', effect: 'deny', when: 'request.max_tokens > 1000' },
  ],
  'a CEL rule, short': many(1, () => ({ when: 'request.max_tokens > 1000' })),
  'a CEL rule, three parts': many(1, () => ({
    when: '"LLM.Guest" in principal.roles && request.max_tokens > 100 || principal.claims.plan != "paid"',
  })),
  'a CEL rule over an attribute of the model': many(1, () => ({
    when: 'resource.attributes.tier != "small"',
  })),
  'two rules with obligations': [
    { name: 'a', obligations: { ceilings: { max_tokens: 100 } } },
    { name: 'b', roles: ['LLM.User'], obligations: { limits: ['few'], system_message: 'Be brief.' } },
  ],
};

const asking = {
  'a rule that asks for a relation: team, folder': '!related("viewer", "model:" + request.model)',
};
for (const [name, when] of Object.entries(asking)) contestants[name] = many(1, () => ({ when }));
const relations = compileRelations(
  relationsSchema.parse({
    types: {
      user: {},
      team: { member: ['user', 'team#member'] },
      folder: { viewer: ['team#member'] },
      model: { parent: ['folder'], viewer: ['user', 'viewer from parent'] },
    },
    tuples: [
      'model:tiny-gpt2#parent@folder:labs',
      'folder:labs#viewer@team:research#member',
      ...Array.from({ length: 10_000 }, (_, index) => `team:research#member@user:s${index}`),
    ],
  }),
  { issuers: ['embedded'] },
);

function median(values) {
  return values.toSorted((left, right) => left - right)[Math.floor(values.length / 2)];
}

/** Median microseconds of a call, from batches that are long beside the clock's step. */
function measure(run) {
  for (let warm = 0; warm < 20_000; warm++) run(warm);
  return median(
    Array.from({ length: 101 }, () => {
      const from = process.hrtime.bigint();
      for (let each = 0; each < 500; each++) run(each);
      return Number(process.hrtime.bigint() - from) / 500 / 1_000;
    }),
  );
}

console.log('| rules | µs, caller seen before | µs, caller never seen |\n| --- | --- | --- |');
for (const [name, list] of Object.entries(contestants)) {
  const parts = {
    authorization,
    models,
    relations,
    rules: compileRules(rulesSchema.parse({ rules: list }), [], attributes),
  };
  const people = Array.from({ length: 100 }, (_, index) => principal(index));
  const known = measure((index) => decide(question(people[index % 100]), parts));
  const fresh = measure((index) => decide(question(principal(index)), parts));
  console.log(`| ${name} | ${known.toFixed(2)} | ${fresh.toFixed(2)} |`);
}
