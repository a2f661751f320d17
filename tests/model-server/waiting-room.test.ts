import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createWaitingRoom, type Place } from '../../model-server/engine/waiting-room.ts';

const never = new AbortController().signal;

describe('the queue before the sequences', () => {
  it('admits at once while a place is free', async () => {
    const room = createWaitingRoom(() => 2, 0);
    await Promise.all(room.enter('alice', 2, never) ?? []);
    assert.deepEqual([room.running(), room.waiting()], [2, 0]);
  });

  it('refuses a request that does not fit as a whole', () => {
    const room = createWaitingRoom(() => 1, 2);
    assert.equal(room.enter('alice', 4, never), null);
    assert.deepEqual([room.running(), room.waiting()], [0, 0]);
    assert.equal(room.enter('alice', 3, never)?.length, 3);
    assert.equal(room.enter('bob', 1, never), null);
  });

  it('admits the next when a place is left, and counts a place once', async () => {
    const room = createWaitingRoom(() => 1, 1);
    const [first, second] = room.enter('alice', 2, never) ?? [];
    const place = await first;
    place?.leave();
    place?.leave();
    await second;
    assert.deepEqual([room.running(), room.waiting()], [1, 0]);
  });

  it('lets the principal with the fewest running go first', async () => {
    const room = createWaitingRoom(() => 2, 8);
    const order: string[] = [];
    const places: Place[] = [];
    const note = (name: string, promises: readonly Promise<Place>[] | null): void =>
      promises?.forEach((promise) => void promise.then((place) => (order.push(name), places.push(place))));
    note('alice', room.enter('alice', 6, never));
    note('bob', room.enter('bob', 1, never));
    await turn();
    assert.deepEqual(order, ['alice', 'alice']);
    places[0]?.leave();
    await turn();
    assert.deepEqual(order, ['alice', 'alice', 'bob']);
  });

  it('forgets whoever leaves while waiting', async () => {
    const room = createWaitingRoom(() => 1, 2);
    const leaving = new AbortController();
    const [running] = room.enter('alice', 1, never) ?? [];
    const [gone] = room.enter('bob', 1, leaving.signal) ?? [];
    const [next] = room.enter('carol', 1, never) ?? [];
    leaving.abort();
    await assert.rejects(gone ?? Promise.resolve());
    assert.equal(room.waiting(), 1);
    (await running)?.leave();
    await next;
    assert.deepEqual([room.running(), room.waiting()], [1, 0]);
  });
});

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
