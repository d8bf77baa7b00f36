import { backoff, LONGEST_WAIT } from '../backoff.js';
import type { Answer } from '../transport.js';
import { judge } from '../verdict.js';
import type { Entry, Queue } from './queue.js';

export interface SenderOptions {
  batchSize: number;
  flushInterval: number;
  maxRetryWait: number;
  /** Brings a batch to the collector. */
  post(batch: Entry[]): Promise<Answer>;
  refused(entry: Entry, why: string): void;
  waiting(entries: Entry[], why: string): void;
}

export interface Sender {
  /** Sees to it that what waits is sent: at once when it is a batchful, else within the interval. */
  wake(): void;
  /** Sends all that is there; true when all of it was counted. While a pause lasts it sends nothing. */
  flush(): Promise<boolean>;
  /** Sends until nothing is left, sitting out pauses, for that much time at most. */
  finish(within: number): Promise<boolean>;
}

const MOST_IN_BATCH = 500; // the collector takes 1,000
const MOST_BYTES = 900_000; // the collector takes 1 MiB

/** Empties the queue into the collector, one request at a time, so that events arrive in order. */
export const startSender = (queue: Queue, options: SenderOptions): Sender => {
  const { batchSize, flushInterval, maxRetryWait } = options;
  let limit = MOST_IN_BATCH; // events in a batch: halved when the server finds it too large
  let failures = 0; // in a row
  let resume = 0; // when the pause is over, by the clock that nobody sets
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<boolean> | undefined;

  const pause = () => Math.max(0, resume - performance.now());

  /** One request and what follows from its answer; returns how many it settled. */
  const send = async (batch: Entry[]) => {
    const answer = await options.post(batch);
    const { all, refused, next } = judge(answer, batch.length);
    const left = batch.filter((_, i) => !all && !(i in refused));
    queue.settle(
      left,
      batch.filter((_, i) => i in refused),
    );
    batch.forEach((entry, i) => {
      if (i in refused) options.refused(entry, refused[i]);
    });
    if (next === 'wait') {
      const own = Math.min(backoff(failures++), maxRetryWait);
      const wait = Math.min(Math.max(own, answer.retryAfter ?? 0), LONGEST_WAIT);
      resume = performance.now() + wait;
      options.waiting(batch, `status ${answer.status}, next try in ${Math.ceil(wait / 1000)} s`);
    } else {
      failures = 0;
      limit = next === 'halve' ? Math.ceil(batch.length / 2) : Math.min(limit * 2, MOST_IN_BATCH);
    }
    return batch.length - left.length;
  };

  /** What is added meanwhile waits for its own turn, so that batches stay batches. */
  const drain = async () => {
    let left = queue.all().length;
    while (left > 0 && !pause()) {
      const batch = queue.take(Math.min(limit, left), MOST_BYTES);
      if (!batch.length) break; // they were dropped
      left -= await send(batch);
    }
    return left <= 0;
  };

  const start = (): Promise<boolean> => {
    clearTimeout(timer);
    timer = undefined;
    running ??= drain().finally(() => {
      running = undefined;
      wake();
    });
    return running;
  };

  const wake = () => {
    const { length } = queue.all();
    if (running || !length) return;
    if (length >= batchSize && !pause()) start();
    else timer ??= setTimeout(start, Math.min(Math.max(flushInterval, pause()), LONGEST_WAIT)).unref(); // the process may end
  };

  const flush = async () => {
    if (running) await running; // it may have begun before the last events came
    return start();
  };

  const untilEmpty = async (deadline: number) => {
    while (queue.all().length) {
      await flush();
      if (performance.now() + pause() >= deadline) return;
      await new Promise((over) => setTimeout(over, pause()));
    }
  };

  return {
    wake,
    flush,
    finish: async (within) => {
      let bell: NodeJS.Timeout | undefined;
      const over = new Promise<void>((ring) => {
        bell = setTimeout(ring, within);
      });
      await Promise.race([over, untilEmpty(performance.now() + within)]);
      clearTimeout(bell);
      return !queue.all().length;
    },
  };
};
