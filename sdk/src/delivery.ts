import { byteLength } from './bytes.js';
import { each } from './each.js';
import { openHold } from './hold.js';
import { stringify } from './json.js';
import { openLedger, type Stamp } from './ledger.js';
import { inOneGo, listen, onHidden, type Undo } from './listen.js';
import { type Entry, openQueue, type Reason } from './queue.js';
import { safely } from './safely.js';
import type { Store } from './store.js';
import type { Post } from './transport.js';
import { judge } from './verdict.js';

/** What became of an event: kept, on its way, counted by the collector, refused by it, given up, or waiting for a next try. */
export type Fate = 'queued' | 'sending' | 'confirmed' | 'rejected' | 'dropped' | 'waiting';

export interface DeliveryOptions {
  apiKey: string;
  batchSize?: number;
  flushInterval?: number;
}

/** The way out, for features to put themselves around its steps. */
export interface Way {
  /** Whether anything may be sent now. */
  ready(): boolean;
  /** Runs what sends; several tabs may want to at once. */
  turn(drain: () => Promise<boolean>): Promise<boolean>;
  /** Brings a batch to the collector. */
  post: Post;
  /** Hears what becomes of an event, which is given as its JSON. */
  tell(fate: Fate, body: string, why?: string): void;
}

export interface Delivery {
  stamp(anonymousId: string): Stamp;
  add(body: string): void;
  /** Sends all that waits, as far as the collector takes it now; true when nothing is left. */
  flush(): Promise<boolean>;
  /** For the moment at which the page is hidden or left, after everything that tracks at that moment. */
  flushOnHide: Undo;
  length(): number;
  /** Sends what waits from now on, until undone. */
  start(): Undo;
}

const MOST_BYTES = 500_000; // the collector takes 1 MiB
const LARGEST_EVENT = 65_536; // the collector takes no larger one
const KEEPALIVE_BYTES = 60_000; // the browser's own limit is 64 KiB, for all such requests of a page together

/** Brings events to the collector. An event leaves the queue only when an answer counted it. */
export const openDelivery = (options: DeliveryOptions, store: Store, way: Way): Delivery => {
  const { apiKey, batchSize = 20, flushInterval = 5000 } = options;
  const ledger = openLedger(store, apiKey);
  const giveUp = (body: string, why: Reason) => {
    ledger.lost(body, why);
    way.tell('dropped', body, why);
  };
  const queue = openQueue(store, apiKey, giveUp);
  const hold = openHold(store, `md.hold.${apiKey}`);
  const own: Record<string, boolean> = {}; // keys of events that this page made
  const flying: Record<string, boolean> = {}; // keys of events in requests that are not answered yet
  let flyingBytes = 0;
  let limit = 500; // events in a batch; the collector takes as many as the queue can hold
  let unsent = 0; // events since the last flush
  let timer: ReturnType<typeof setTimeout> | undefined;
  let running: Promise<boolean> | undefined;

  const wrap = (batch: Entry[]) => {
    let events = '';
    each(batch, ({ body }) => {
      events += (events && ',') + body;
    });
    return `{"api_key":${stringify(apiKey)},"sent_at":${Date.now()},"events":[${events}]}`;
  };

  /** One request and what follows from its answer: how many events are settled, or undefined when all have to wait. */
  const send = async (batch: Entry[], text = wrap(batch), leaving?: boolean): Promise<number | undefined> => {
    const bytes = byteLength(text);
    flyingBytes += bytes;
    each(batch, ({ key, body }) => {
      flying[key] = true;
      if (leaving) delete own[key]; // not again when the page is hidden next
      way.tell('sending', body);
    });
    const answer = await way.post(text, flyingBytes <= KEEPALIVE_BYTES, leaving);
    flyingBytes -= bytes;

    const { all, refused, next } = judge(answer, batch.length);
    let settled = 0;
    each(batch, ({ key, body }, i) => {
      const why = refused[i];
      delete flying[key];
      if (next === 'wait') way.tell('waiting', body, `status ${answer.status}`);
      if (!all && !why) return;
      settled++;
      queue.remove(key);
      delete own[key];
      if (why) ledger.lost(body); // what it was to report is not lost with it
      way.tell(why ? 'rejected' : 'confirmed', body, why);
    });
    if (next === 'wait') {
      hold.wait(answer.status, answer.retryAfter);
      return undefined;
    }
    hold.end();
    limit = next === 'halve' ? Math.ceil(batch.length / 2) : limit * 2;
    return settled;
  };

  /** Sends what is there now; what is added meanwhile waits for its own turn, so that batches stay batches. */
  const drain = async (): Promise<boolean> => {
    let left = queue.length();
    while (left > 0 && way.ready() && !hold.remaining()) {
      const batch = queue.take(limit, MOST_BYTES, flying);
      const settled = batch.length ? await send(batch) : undefined;
      if (settled === undefined) break;
      left -= settled;
    }
    return left <= 0;
  };

  const sendAll = async (): Promise<boolean> => {
    unsent = 0;
    try {
      return await way.turn(drain);
    } catch {
      return false; // a page that breaks what this stands on must not see it from here
    } finally {
      running = undefined;
      schedule();
    }
  };
  const flush = (): Promise<boolean> => (running = running || sendAll());

  /** Sees to it that a flush comes: now when there is a batchful, else within the interval or when a wait is over. */
  const schedule = () => {
    clearTimeout(timer);
    const due = way.ready() && queue.length();
    timer = due ? setTimeout(flush, Math.max(flushInterval, hold.remaining())) : undefined;
  };

  /**
   * The page may be gone in a moment: what it made itself goes out at once, as much as may outlive the page. It stays
   * in the queue until an answer is heard, by this page or by the next one that sends it again.
   */
  const flushOnHide = safely(() => {
    hold.end(true);
    if (!way.ready() || hold.remaining()) return;
    const room = KEEPALIVE_BYTES - flyingBytes;
    const batch = queue.take(limit, room - byteLength(wrap([])), flying, own);
    const text = wrap(batch);
    if (batch.length && byteLength(text) <= room) send(batch, text, true).then(schedule, schedule);
  });

  return {
    stamp: ledger.stamp,
    add: (body) => {
      if (byteLength(body) > LARGEST_EVENT) return giveUp(body, 'too_large');
      way.tell('queued', body);
      own[queue.add(body)] = true;
      if (++unsent >= batchSize && !hold.remaining()) flush();
      else if (!timer) schedule();
    },
    flush: async () => {
      await running;
      return await flush(); // without await it would be asked for its `then`, which may be the page’s
    },
    flushOnHide,
    length: queue.length,
    start: () => {
      schedule();
      return inOneGo([
        onHidden(flushOnHide),
        listen('online', () => {
          hold.end(true);
          flush();
        }),
        () => {
          way.ready = () => false;
          schedule();
        },
      ]);
    },
  };
};
