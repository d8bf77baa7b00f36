import { withTracking } from '../core.js';
import type { Feature } from '../tracking.js';

export const TIMED = 'md.since.';

/** Starts a clock: the next event of that type says in its `duration` how many seconds have gone by, on later pages too. */
export const timeEvent = (type: string): void => {
  const now = Date.now();
  withTracking(({ store }) => store.set(TIMED + type, `${now}`));
};

export const timed: Feature = ({ store, steps }) => {
  steps.push((event) => {
    const key = TIMED + event.event_type;
    const since = store.get(key);
    if (!since) return event;
    store.remove(key);
    return { duration: Math.max(0, +(event.timestamp as number) - +since) / 1000, ...event };
  });
};
