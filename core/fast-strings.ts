// V8 keeps the methods of a prototype in a slow table until somebody reads one through an object; reads through plain
// strings do not count. So a single `class … extends String` in a library (ioredis has one) makes every string method of
// the whole process 5 to 10 ns slower for good. Nothing is changed here but V8's own bookkeeping.

/** V8 decides after a handful of reads. */
const reads = 100;

/** Lets V8 make string methods fast again; to be called when everything is imported. */
export function restoreFastStrings(): void {
  const object = Object('') as { readonly at: unknown }; // An object on purpose: see above.
  for (let index = 0; index < reads; index++) readOne(object);
}

function readOne(object: { readonly at: unknown }): unknown {
  return object.at;
}
