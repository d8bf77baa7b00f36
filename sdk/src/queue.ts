import { byteLength } from './bytes.js';
import type { Store } from './store.js';
import { timeOf, uuid } from './uuid.js';

/** One event that waits: where it is kept, and its JSON. */
export interface Entry {
  key: string;
  body: string;
}

export interface Queue {
  /** Keeps one event; when there are too many, the oldest make room. */
  add(body: string): Entry;
  /** The oldest events, up to `count` and `bytes` (but always one, however large), without those that `skip` names. */
  take(count: number, bytes: number, skip: (key: string) => boolean): Entry[];
  remove(keys: string[]): void;
  length(): number;
}

const PREFIX = 'md.q.';
export const MOST_EVENTS = 1000;
const OLDEST = 7 * 24 * 60 * 60 * 1000;

const idOf = (key: string) => key.slice(-36);

/**
 * The events that no answer has counted yet. Each stands under a key of its own that ends in a UUIDv7, so tabs add and
 * remove without ever rewriting what another tab wrote, no lock is needed, and the keys' order is the events' order.
 * The write key is part of the storage key: what was meant for one project is never sent to another.
 */
export const openQueue = (store: Store, apiKey: string, dropped: (entries: Entry[], why: string) => void): Queue => {
  const prefix = `${PREFIX}${apiKey}.`;
  let estimate = 0; // this tab's count since its last look into the store; other tabs may have added or removed

  const drop = (keys: string[], why: string) => {
    if (!keys.length) return;
    const entries = keys.map((key) => ({ key, body: store.get(key) ?? '' }));
    keys.forEach(store.remove);
    dropped(
      entries.filter((entry) => entry.body && entry.key.startsWith(prefix)),
      why,
    );
  };
  const scan = (): string[] => {
    const tooOld = Date.now() - OLDEST;
    const all = store.keys(PREFIX);
    const alive = all.filter((key) => timeOf(idOf(key)) > tooOld);
    if (alive.length < all.length)
      drop(
        all.filter((key) => !alive.includes(key)),
        'older than 7 days',
      );
    const keys = alive.filter((key) => key.startsWith(prefix)).sort();
    estimate = keys.length;
    return keys;
  };

  return {
    add: (body) => {
      const entry = { key: prefix + uuid(), body };
      if (estimate >= MOST_EVENTS) drop(scan().slice(0, 1 - MOST_EVENTS), 'queue full');
      store.set(entry.key, body);
      estimate++;
      return entry;
    },
    take: (count, bytes, skip) => {
      const entries: Entry[] = [];
      for (const key of scan()) {
        const body = skip(key) ? null : store.get(key);
        if (!body) continue;
        bytes -= byteLength(body) + 1;
        if (entries.length && (bytes < 0 || entries.length >= count)) break;
        entries.push({ key, body });
      }
      return entries;
    },
    remove: (keys) => {
      keys.forEach(store.remove);
      estimate -= keys.length;
    },
    length: () => scan().length,
  };
};
