import { randomBytes } from 'node:crypto';
import { uuid } from '../uuid.js';
import { post } from './post.js';
import { type Entry, openQueue } from './queue.js';
import { type Sender, startSender } from './sender.js';

export const SDK = 'maidian-node/0.1.0';

/** Fields of an event. Say whose it is: `user_id`, or the `anonymous_id` that the browser SDK gave the visitor, or both. */
export interface Fields {
  user_id?: string | number;
  anonymous_id?: string;
  session_id?: string;
  event_id?: string;
  event_name?: string;
  timestamp?: number | string | Date;
  properties?: Record<string, unknown>;
  [name: string]: unknown;
}

/** What became of events that the collector did not count, or not yet: refused by it, given up here, or waiting. */
export interface Problem {
  fate: 'rejected' | 'dropped' | 'waiting';
  why: string;
  events: Fields[];
}

export interface Options {
  /** Where the collector is, e.g. `https://events.example`. */
  apiUrl: string;
  /** The write key of the project (`wk_…`). */
  apiKey: string;
  /** Events after which a batch is sent without waiting; default 100. */
  batchSize?: number;
  /** Milliseconds after which whatever is there is sent; default 1000. */
  flushInterval?: number;
  /** Events that may wait, beyond which the oldest are dropped and counted; default 10,000. */
  maxQueue?: number;
  /** Bytes that may wait; default 32 MB. */
  maxQueueBytes?: number;
  /** Milliseconds that a request may take; default 10,000. */
  timeout?: number;
  /** Milliseconds between two tries at most, unless the server asks for more; default 30 minutes. */
  maxRetryWait?: number;
  /** Sends what waits when the process has nothing else left to do, for up to these milliseconds; default 5000, 0: never. */
  exitTimeout?: number;
  /** Is told what the collector refused, what was dropped and what has to wait. Default: one line on the console for each. */
  onError?: (problem: Problem) => void;
}

const path = '/api/v1/analytics/track/batch';

const complain = ({ fate, why, events }: Problem) =>
  console.warn(`[maidian] ${events.length} ${events.length === 1 ? 'event' : 'events'} ${fate}: ${why}`);

/** Sends a server's events. They wait in memory until an answer of the collector has counted them. */
export class Maidian {
  private readonly queue;
  private readonly sender: Sender;
  private readonly tell: (fate: Problem['fate'], entries: readonly Entry[], why: string) => void;
  private readonly onExit: () => void;

  constructor(options: Options) {
    const { apiKey, maxQueue = 10_000, maxQueueBytes = 32_000_000, timeout = 10_000, exitTimeout = 5000 } = options;
    const { batchSize = 100, flushInterval = 1000, maxRetryWait = 1_800_000, onError = complain } = options;
    const url = new URL(options.apiUrl.replace(/\/+$/, '') + path).href; // one that is none is better found now
    this.tell = (fate, entries, why) => {
      try {
        onError({ fate, why, events: entries.map(({ body }) => JSON.parse(body)) });
      } catch (error) {
        console.warn('[maidian] onError threw:', error);
      }
    };
    this.queue = openQueue(maxQueue, maxQueueBytes, (entry, why) => this.tell('dropped', [entry], why));
    this.sender = startSender(this.queue, {
      batchSize,
      flushInterval,
      maxRetryWait,
      post: (batch) => {
        const events = batch.map(({ body }) => body).join();
        return post(url, apiKey, SDK, `{"sent_at":${Date.now()},"events":[${events}]}`, timeout);
      },
      refused: (entry, why) => this.tell('rejected', [entry], why),
      waiting: (entries, why) => this.tell('waiting', entries, why),
    });
    this.onExit = () => {
      if (!this.queueLength) return;
      this.sender.finish(exitTimeout).then((all) => {
        if (all) return;
        process.off('beforeExit', this.onExit); // a second time there is nothing more to try
        this.tell('dropped', this.queue.all(), 'the process ends');
      });
    };
    if (exitTimeout > 0) process.on('beforeExit', this.onExit);
  }

  /** Tracks one event: event fields (`event_name`, `duration`, …) and `properties`; other names become properties. */
  track(type: string, fields: Fields = {}): void {
    const event = {
      event_id: uuid(Date.now(), randomBytes(8)),
      timestamp: Date.now(),
      sdk: SDK,
      ...fields,
      event_type: type,
    };
    try {
      this.queue.add(event);
    } catch (error) {
      const { event_id, event_type } = event;
      this.tell('dropped', [{ body: JSON.stringify({ event_id, event_type }), bytes: 0 }], `${error}`);
    }
    this.sender.wake();
  }

  /** Tracks a page view, for example of a page that runs no script. */
  page(fields?: Fields): void {
    this.track('page_view', fields);
  }

  /** Joins the device of `fields.anonymous_id`, when there is one, to a user; what is known about the user are the traits. */
  identify(id: string | number, traits?: Record<string, unknown>, fields?: Fields): void {
    this.track('$identify', { properties: traits, ...fields, user_id: id });
  }

  /** Joins what was done under an anonymous id to a user. */
  alias(id: string | number, anonymousId: string): void {
    this.track('$alias', { user_id: id, anonymous_id: anonymousId });
  }

  /** Sends all that is there; true when the collector has counted it. While the collector asked for a pause it sends nothing. */
  flush(): Promise<boolean> {
    return this.sender.flush();
  }

  /** Events that no answer has counted yet. */
  get queueLength(): number {
    return this.queue.all().length;
  }

  /**
   * Sends until nothing is left, or until the milliseconds are over. Resolves to the events that no answer has counted:
   * send them again some time, with their ids, and none is stored twice.
   */
  async shutdown(within = 10_000): Promise<Fields[]> {
    process.off('beforeExit', this.onExit);
    await this.sender.finish(within);
    return this.queue.all().map(({ body }) => JSON.parse(body));
  }
}
