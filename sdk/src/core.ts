import { each } from './each.js';
import type { Options } from './options.js';
import { safely } from './safely.js';
import { type Feature, type Fields, startTracking, type Tracking } from './tracking.js';

export type { Fate } from './delivery.js';
export type { Options } from './options.js';
export type { Capture, Feature, Fields, Page, Step, Tracking } from './tracking.js';

const MOST_EARLY = 100;

let current: Tracking | undefined;
let early: ((tracking: Tracking) => void)[] = [];

/** Starts tracking with the features given, and nothing else by itself. A second call changes nothing. */
export const initCore = (options: Options, features: Feature[] = []): Tracking | undefined => {
  if (current || typeof document === 'undefined') return current;
  current = safely(startTracking)(options, features);
  each(early, withTracking);
  early = [];
  return current;
};

/** Does it with the running tracking: now, or as soon as there is one. */
export const withTracking = (use: (tracking: Tracking) => void): void => {
  if (current) safely(use)(current);
  else if (early.length < MOST_EARLY) early[early.length] = use;
};

/** The tracking that initTracking started, or undefined. */
export const getTracking = (): Tracking | undefined => current;

/** Tracks one event. Before initTracking it is kept, with its time, until tracking starts. */
export const trackEvent = (type: string, fields?: Fields): void => {
  const timestamp = Date.now();
  withTracking((tracking) => tracking.trackEvent(type, { timestamp, ...fields }));
};

/** Tracks a page view of your own making, for example of a step that has no address. */
export const trackPageView = (fields?: Fields): void => trackEvent('page_view', fields);

/** Says who the visitor is, from now on and on later visits; null forgets it. */
export const setUserId = (id: string | number | null): void => withTracking((tracking) => tracking.setUserId(id));

/** The id of the running session. */
export const getSessionId = (): string | undefined => current && current.getSessionId();

/** Sends what waits without waiting for a batch; true when the collector has counted all of it. */
export const forceFlush = async (): Promise<boolean> => !!current && (await current.forceFlush());

/** How many events no answer has counted yet. */
export const getQueueLength = (): number => (current ? current.getQueueLength() : early.length);

/** Stops tracking; what waits is sent after the next initTracking. */
export const shutdown = (): void => {
  if (current) current.stop();
  current = undefined;
};
