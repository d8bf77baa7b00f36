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
  /** Keeps one event and returns its key; when there are too many, the oldest that were never sent make room. */
  add(body: string): string;
  /** The oldest events, up to `count` and `bytes` (but always one, however large), none of `not`, and only of `own`: to be sent. */
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
 *
 * An event that was sent may be stored although no answer said so; to drop it would report as lost what is not. So it
 * stays until an answer counts it. All up to the last key that any tab sent are taken to have been sent.
 */
export const openQueue = (store: Store, apiKey: string, lost: (body: string, why: Reason) => void): Queue => {
  const prefix = `md.q.${apiKey}.`;
  const mark = `md.sent.${apiKey}`;
  let count = 0; // this tab's count since its last look into the store; other tabs may have added or removed
  let size = 0;
  let sent = ''; // as of that look

  const drop = (key: string, body: string, why: Reason) => {
    store.remove(key);
    lost(body, why);
  };
  const isFull = () => count > MOST_EVENTS || size > MOST_TEXT;

  /** All that waits, oldest first, after what is too old has gone. */
  const scan = (): Entry[] => {
    const entries: Entry[] = [];
    count = size = 0;
    sent = store.get(mark) || '';
    each(sorted(store.keys()), (key) => {
      const body = key.startsWith(prefix) && store.get(key);
      if (!body) return;
      if (key > sent && timeOf(key) < Date.now() - OLDEST) return drop(key, body, 'expired');
      entries[count++] = { key, body };
      size += body.length;
    });
    return entries;
  };

  return {
    add: (body) => {
      const added = prefix + uuid();
      store.set(added, body);
      size += body.length;
      count++;
      each(isFull() ? scan() : [], ({ key, body }) => {
        if (!isFull() || (key <= sent && key !== added)) return;
        drop(key, body, 'full');
        count--;
        size -= body.length;
      });
      return added;
    },
    take: (most, bytes, not, own) => {
      const taken: Entry[] = [];
      each(scan(), (entry) => {
        const { key, body } = entry;
        if (not[key] || (own && !own[key]) || bytes < 0) return;
        bytes -= byteLength(body) + 1;
        if (taken.length && (bytes < 0 || taken.length >= most)) return;
        taken[taken.length] = entry;
        if (key > sent) store.set(mark, key);
      });
      return taken;
    },
    remove: (key) => store.remove(key),
    length: () => scan().length,
  };
};
