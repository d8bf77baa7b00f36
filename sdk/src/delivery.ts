import { byteLength } from './bytes.js';
import { NETWORK, openHold, SERVER } from './hold.js';
import { listen, type Undo } from './listen.js';
import { type Entry, openQueue } from './queue.js';
import type { Store } from './store.js';
import { beacon, canKeepAlive, KEEPALIVE_BYTES, post } from './transport.js';
import { uuid } from './uuid.js';
import { judge, type Verdict } from './verdict.js';

/** What became of events: kept, on their way, counted by the collector, refused by it, given up, or waiting for a next try. */
export type Fate = 'queued' | 'sending' | 'confirmed' | 'rejected' | 'dropped' | 'waiting';
export type Tell = (fate: Fate, bodies: string[], why?: string) => void;

export interface DeliveryOptions {
  apiUrl: string;
  apiKey: string;
  batchSize: number;
  flushInterval: number;
}

export interface Delivery {
  add(body: string): void;
  /** Sends all that waits, as far as the collector takes it now; true when nothing is left. */
  flush(): Promise<boolean>;
  /** For the moment at which the page is hidden or left, after everything that tracks at that moment. */
  flushOnHide(): void;
  length(): number;
  stop: Undo;
}

const MOST_IN_BATCH = 500; // the collector takes 1,000
const MOST_BYTES = 500_000; // the collector takes 1 MiB
const LARGEST_EVENT = 65_536; // the collector takes no larger one

const path = '/api/v1/analytics/track/batch';

/** Brings events to the collector. An event leaves the queue only when an answer counted it. */
export const startDelivery = (options: DeliveryOptions, store: Store, tell: Tell): Delivery => {
  const { apiKey, batchSize, flushInterval } = options;
  const url = options.apiUrl.replace(/\/+$/, '') + path;
  const queue = openQueue(store, apiKey, (entries, why) => tell('dropped', bodiesOf(entries), why));
  const hold = openHold(store, `md.hold.${apiKey}`, uuid());
  const own = new Set<string>(); // keys of events that this page made
  const flying = new Set<string>(); // keys of events in requests that are not answered yet
  let flyingBytes = 0;
  let limit = MOST_IN_BATCH; // events in a batch: halved when the server finds it too large
  let unsent = 0; // events since the last flush
  let stopped = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let running: Promise<boolean> | undefined;

  const wrap = (batch: Entry[]) =>
    `{"api_key":${JSON.stringify(apiKey)},"sent_at":${Date.now()},"events":[${bodiesOf(batch).join()}]}`;

  /** One request and what follows from its answer. */
  const send = async (batch: Entry[]): Promise<Verdict> => {
    const body = wrap(batch);
    const bytes = byteLength(body);
    flyingBytes += bytes;
    batch.forEach(({ key }) => flying.add(key));
    tell('sending', bodiesOf(batch));
    const answer = await post(url, body, flyingBytes <= KEEPALIVE_BYTES);
    flyingBytes -= bytes;
    batch.forEach(({ key }) => flying.delete(key));

    const verdict = judge(answer, batch.length);
    settle(batch, verdict);
    if (verdict.next === 'wait') {
      const wait = hold.wait(answer.status ? SERVER : NETWORK, answer.retryAfter);
      tell('waiting', bodiesOf(batch), `status ${answer.status}, next try in ${Math.ceil(wait / 1000)} s`);
    } else {
      limit = verdict.next === 'halve' ? Math.ceil(batch.length / 2) : Math.min(limit * 2, MOST_IN_BATCH);
    }
    return verdict;
  };

  const settle = (batch: Entry[], { settled, refused }: Verdict) => {
    const done = settled.map((i) => batch[i]);
    queue.remove(done.map(({ key }) => key));
    done.forEach(({ key }) => own.delete(key));
    tell('confirmed', bodiesOf(done.filter((entry) => !refused.has(batch.indexOf(entry)))));
    refused.forEach((why, i) => tell('rejected', [batch[i].body], why));
  };

  /** Sends what is there now; what is added meanwhile waits for its own turn, so that batches stay batches. */
  const drain = async (): Promise<boolean> => {
    let left = queue.length();
    while (left > 0 && hold.take()) {
      const batch = queue.take(limit, MOST_BYTES, (key) => flying.has(key));
      if (!batch.length) break;
      const { settled, next } = await send(batch);
      if (next === 'wait') return false;
      left -= settled.length;
    }
    hold.release();
    return left <= 0;
  };

  const start = (): Promise<boolean> => {
    unsent = 0;
    running ??= drain()
      .catch(() => false) // a page that breaks what we stand on must not see it from us
      .then((sent) => {
        running = undefined;
        schedule();
        return sent;
      });
    return running;
  };

  /** Sees to it that a flush comes: now when there is a batchful, else within the interval or when a wait is over. */
  const schedule = () => {
    clearTimeout(timer);
    const due = !stopped && queue.length();
    timer = due ? setTimeout(start, Math.max(flushInterval, hold.remaining())) : undefined;
  };

  /**
   * The page may be gone in a moment: what it made itself goes out at once, as much as may outlive the page. It stays
   * in the queue until an answer is heard, by this page or by the next one that sends it again.
   */
  const flushOnHide = () => {
    if (hold.cause() === SERVER) return;
    const room = KEEPALIVE_BYTES - flyingBytes;
    const batch = queue.take(limit, room - byteLength(wrap([])), (key) => flying.has(key) || !own.has(key));
    if (!batch.length || byteLength(wrap(batch)) > room) return;
    if (canKeepAlive()) send(batch).then(schedule, schedule);
    else {
      beacon(url, wrap(batch));
      batch.forEach(({ key }) => own.delete(key)); // not again when the page is hidden next
    }
  };

  const undo = listen(window, 'online', () => {
    hold.end(NETWORK);
    start();
  });
  schedule();

  return {
    add: (body) => {
      if (byteLength(body) > LARGEST_EVENT) return tell('dropped', [body], 'larger than 64 KiB');
      own.add(queue.add(body).key);
      tell('queued', [body]);
      unsent++;
      if (unsent >= batchSize && !hold.remaining()) start();
      else if (!timer) schedule();
    },
    flush: async () => {
      await running;
      return start();
    },
    flushOnHide,
    length: queue.length,
    stop: () => {
      stopped = true;
      clearTimeout(timer);
      undo();
      hold.release();
    },
  };
};

const bodiesOf = (entries: Entry[]) => entries.map((entry) => entry.body);
