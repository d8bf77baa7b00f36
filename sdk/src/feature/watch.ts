import type { Fate } from '../delivery.js';
import { parsed } from '../json.js';
import { safely } from '../safely.js';
import type { Feature, Fields } from '../tracking.js';

export type Watcher = (fate: Fate, events: Fields[], why?: string) => void;

/** `watch`: calls back with what becomes of events. */
export const watching: Feature = (tracking) => {
  const watchers = new Set<Watcher>();
  tracking.watch = (watcher) => {
    watchers.add(watcher);
    return () => watchers.delete(watcher);
  };
  tracking.tell = (fate, body, why) => {
    if (!watchers.size) return;
    const event = parsed(body) || {};
    watchers.forEach((watcher) => safely(watcher)(fate, [event], why));
  };
};
