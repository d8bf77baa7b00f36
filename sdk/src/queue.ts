import { byteLength } from './bytes.js';
import { each, sorted } from './each.js';
import type { Store } from './store.js';
import { timeOf, uuid } from './uuid.js';

/** One event that waits: where it is kept, and its JSON. */
export interface Entry {
  key: string;
  body: string;
}

/** Why an event was given up: too much waited, it waited too long, or no answer could ever have taken it. */
export type Reason = 'full' | 'expired' | 'too_large';

type Keys = Record<string, boolean>;

export interface Queue {
  /** Keeps one event and returns its key; when there are too many, the oldest make room. */
  add(body: string): string;
  /** The oldest events, up to `count` and `bytes` (but always one, however large), none of `not`, and only of `own`. */
  take(count: number, bytes: number, not: Keys, own?: Keys): Entry[];
  remove(key: string): void;
  length(): number;
}

export const MOST_EVENTS = 1000;
export const MOST_TEXT = 4_000_000;
const OLDEST = 7 * 24 * 60 * 60 * 1000;

/**
 * The events that no answer has counted yet. Each stands under a key of its own that ends in a UUIDv7, so tabs add and
 * remove without ever rewriting what another tab wrote, no lock is needed, and the keys' order is the events' order.
 * The write key is part of the storage key: what was meant for one project is never sent to another.
 */
export const openQueue = (store: Store, apiKey: string, lost: (body: string, why: Reason) => void): Queue => {
  const prefix = `md.q.${apiKey}.`;
  let count = 0; // this tab's count since its last look into the store; other tabs may have added or removed
  let size = 0;

  /** All that waits, oldest first, after what is too old or too much has gone. */
  const scan = (): Entry[] => {
    const entries: Entry[] = [];
    let first = 0;
    count = size = 0;
    each(sorted(store.keys()), (key) => {
      const body = key.startsWith(prefix) && store.get(key);
      if (!body) return;
      if (timeOf(key.slice(-36)) < Date.now() - OLDEST) {
        store.remove(key);
        lost(body, 'expired');
      } else {
        entries[count++] = { key, body };
        size += body.length;
      }
    });
    for (; count > MOST_EVENTS || size > MOST_TEXT; count--) {
      const { key, body } = entries[first++];
      store.remove(key);
      lost(body, 'full');
      size -= body.length;
    }
    return first ? scan() : entries;
  };

  return {
    add: (body) => {
      const key = prefix + uuid();
      store.set(key, body);
      size += body.length;
      if (++count > MOST_EVENTS || size > MOST_TEXT) scan();
      return key;
    },
    take: (most, bytes, not, own) => {
      const taken: Entry[] = [];
      each(scan(), (entry) => {
        if (not[entry.key] || (own && !own[entry.key]) || bytes < 0) return;
        bytes -= byteLength(entry.body) + 1;
        if (!taken.length || (bytes >= 0 && taken.length < most)) taken[taken.length] = entry;
      });
      return taken;
    },
    remove: (key) => {
      store.remove(key);
      count--;
    },
    length: () => scan().length,
  };
};
