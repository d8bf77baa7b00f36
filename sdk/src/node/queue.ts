import type { Fields } from './index.js';

/** Why an event was given up: the next one says how many were, so that the server can account for them. */
export type Reason = 'full' | 'too_large';
type Drops = Partial<Record<Reason, number>>;

export interface Entry {
  body: string;
  bytes: number;
  /** What this event says of those given up before it. */
  dropped?: Drops;
}

export interface Queue {
  add(event: Fields): void;
  /** The oldest events, up to `count` and `bytes` (but always one), which are on their way from now on. */
  take(count: number, bytes: number): Entry[];
  /** Ends their way: `left` wait again, the others are done; what the `refused` were to report, the next one does. */
  settle(left: Entry[], refused: Entry[]): void;
  /** All that wait or are on their way. */
  all(): readonly Entry[];
}

const LARGEST_EVENT = 65_536; // the collector takes no larger one

/**
 * Events in memory, never more than `mostEvents` and `mostBytes`: then the oldest goes that was never sent. One that was
 * may be stored although no answer said so; to drop it would report as lost what is not.
 */
export const openQueue = (mostEvents: number, mostBytes: number, lost: (entry: Entry, why: Reason) => void): Queue => {
  const entries: Entry[] = [];
  let flying = 0; // the first so many are on their way
  let tried = 0; // the first so many were, at least once
  let size = 0;
  let unreported: Drops | undefined;

  const report = (drops: Drops = {}) => {
    for (const [reason, n] of Object.entries(drops)) {
      unreported = { ...unreported, [reason]: (unreported?.[reason as Reason] ?? 0) + n };
    }
  };
  const drop = (entry: Entry, why: Reason) => {
    size -= entry.bytes;
    report({ [why]: 1 });
    report(entry.dropped);
    lost(entry, why);
  };

  return {
    add: (event) => {
      const own = event.properties?.$dropped as Drops | undefined; // of one that is sent another time
      const dropped = own ?? unreported;
      const properties = dropped ? { ...event.properties, $dropped: dropped } : event.properties;
      const body = JSON.stringify({ ...event, properties });
      const entry: Entry = { body, bytes: Buffer.byteLength(body) + 1, dropped };
      if (!own) unreported = undefined;
      size += entry.bytes;
      if (entry.bytes > LARGEST_EVENT) return drop(entry, 'too_large');
      entries.push(entry);
      while ((entries.length > mostEvents || size > mostBytes) && entries.length > tried) {
        drop(entries.splice(tried, 1)[0], 'full');
      }
    },
    take: (most, bytes) => {
      flying = 0;
      for (const entry of entries) {
        bytes -= entry.bytes;
        if (flying >= most || (flying && bytes < 0)) break;
        flying++;
      }
      tried = Math.max(tried, flying);
      return entries.slice(0, flying);
    },
    settle: (left, refused) => {
      for (const entry of entries.splice(0, flying, ...left)) size -= entry.bytes;
      for (const entry of left) size += entry.bytes;
      for (const entry of refused) report(entry.dropped);
      tried -= flying - left.length;
      flying = 0;
    },
    all: () => entries,
  };
};
