import { each } from '../each.js';
import type { Feature } from '../tracking.js';

/** What of localStorage the queue takes at most, in characters: the rest of some five million is the page's own. */
export const BUDGET = 2_000_000;
const QUEUED = /^md\.q\./;
const MARK = 'md.spill';
const PATIENCE = 3000;

interface Kept {
  key: string;
  body: string;
}

const open = () =>
  new Promise<IDBDatabase>((done, fail) => {
    const request = indexedDB.open('maidian');
    request.onupgradeneeded = () => request.result.createObjectStore('queue', { keyPath: 'key' });
    request.onsuccess = () => done(request.result);
    request.onerror = fail;
  });

/**
 * Keeps in IndexedDB what localStorage has no room for. The page's memory has it as well, since an event must be there
 * at once and the database answers later; before its turn to send, a tab looks what the other tabs have put there or
 * taken away. Stands behind `consent`, and before `locks`.
 */
export const spill: Feature = (tracking) => {
  const { store, turn, decide } = tracking;
  const { get, set, remove, keys, memory } = store;
  const spilled: Record<string, boolean> = {}; // keys that stand in the database
  let room = BUDGET;
  let database: Promise<IDBDatabase> | undefined;

  /** The answer to one request, or undefined: a database that fails, or never answers, is no worse than none. */
  const ask = <T>(what: (queue: IDBObjectStore) => IDBRequest<T>) =>
    new Promise<T | undefined>((done) => {
      const giveUp = () => done(undefined);
      setTimeout(giveUp, PATIENCE);
      database = database || open();
      database
        .then((opened) => {
          const request = what(opened.transaction('queue', 'readwrite').objectStore('queue'));
          request.onsuccess = () => done(request.result);
          request.onerror = giveUp;
        })
        .catch(giveUp);
    });

  store.set = (key, value) => {
    const { disk } = store;
    const queued = QUEUED.test(key);
    if (queued) room -= value.length;
    if (queued && room < 0) store.disk = undefined;
    set(key, value);
    store.disk = disk;
    if (!(queued && disk && key in memory)) return;
    set(MARK, '1');
    ask((queue) => queue.put({ key, body: value })).then((done) => {
      if (done) spilled[key] = true;
    });
  };
  store.remove = (key) => {
    remove(key);
    if (spilled[key]) ask((queue) => queue.delete(key));
    delete spilled[key];
  };

  /** Whether anything may be in the database. The mark is there from the start, so that it can be changed when all is full. */
  const isMarked = () => !!store.disk && (get(MARK) === '1' || MARK in memory);

  const look = async () => {
    room = BUDGET;
    each(keys(), (key) => {
      if (QUEUED.test(key) && !(key in memory)) room -= (get(key) || '').length;
    });
    const before = Object.keys(spilled);
    const kept = isMarked() && (await ask<Kept[]>((queue) => queue.getAll()));
    if (!kept) return;
    const there: Record<string, boolean> = {};
    each(kept, ({ key, body }) => {
      there[key] = spilled[key] = true;
      memory[key] = body;
    });
    each(before, (key) => {
      if (there[key]) return;
      delete spilled[key]; // another tab is done with it
      delete memory[key];
    });
  };

  tracking.turn = (drain) =>
    turn(async () => {
      await look();
      return await drain();
    });
  tracking.decide = (decision) => {
    if (decide) decide(decision);
    if (decision === 'denied') ask((queue) => queue.clear());
  };
  set(MARK, get(MARK) || '0');
  if (isMarked()) setTimeout(tracking.forceFlush);
};
