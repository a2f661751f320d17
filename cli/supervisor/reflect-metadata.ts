// The four functions of the Reflect metadata proposal that @peculiar/x509's container (tsyringe) asks for at import.
// Import this before @peculiar/x509. Existing implementations are left alone.
const records = new WeakMap<object, Map<unknown, unknown>>();

const own = (target: object): Map<unknown, unknown> => {
  const found = records.get(target) ?? new Map<unknown, unknown>();
  records.set(target, found);
  return found;
};
const inherited = (key: unknown, target: object): unknown => {
  for (
    let level: object | null = target;
    level !== null;
    level = Object.getPrototypeOf(level) as object | null
  ) {
    const found = own(level);
    if (found.has(key)) return found.get(key);
  }
  return undefined;
};

const metadata = {
  defineMetadata: (key: unknown, value: unknown, target: object) => void own(target).set(key, value),
  getMetadata: inherited,
  getOwnMetadata: (key: unknown, target: object) => own(target).get(key),
  hasOwnMetadata: (key: unknown, target: object) => own(target).has(key),
  metadata: (key: unknown, value: unknown) => (target: object) => void own(target).set(key, value),
};
if (!('getMetadata' in Reflect)) Object.assign(Reflect, metadata);
