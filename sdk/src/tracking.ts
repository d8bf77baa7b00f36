import { openDelivery, type Way } from './delivery.js';
import { each } from './each.js';
import type { Consent } from './feature/consent.js';
import type { Watcher } from './feature/watch.js';
import { anonymousId, keepAnonymousId, rememberUser, userId } from './identity.js';
import { stringify } from './json.js';
import { inOneGo, type Undo } from './listen.js';
import type { Navigation } from './navigation.js';
import type { Options } from './options.js';
import { safely } from './safely.js';
import { sessionId } from './session.js';
import { openStore, type Store } from './store.js';
import { openPost } from './transport.js';
import { uuid } from './uuid.js';

export const SDK = 'maidian-js/0.1.0';
const PATH = '/api/v1/analytics/track/batch';

/** Fields of an event. Names that the collector does not know become properties. */
export interface Fields {
  event_id?: string;
  event_name?: string;
  timestamp?: number | string | Date;
  properties?: Record<string, unknown>;
  [name: string]: unknown;
}

export type Track = (type: string, fields?: Fields) => void;

/** Changes an event before it is kept, in place or by another one; null drops it. */
export type Step = (event: Fields) => Fields | null;

/** The running tracking, and what features may change about it. */
export interface Tracking extends Way {
  trackEvent: Track;
  trackPageView(fields?: Fields): void;
  setUserId(id: string | number | null): void;
  getSessionId(): string;
  /** Sends what waits; true when the collector has counted all of it. */
  forceFlush(): Promise<boolean>;
  getQueueLength(): number;
  /** Calls back with what becomes of events, when the feature `watching` is there. */
  watch(watcher: Watcher): Undo;
  /** Stops tracking by itself and sending; what waits stays for the next start. */
  stop: Undo;

  /** Takes down the visitor's decision, and whether it is a no, when the feature `consent` is there. */
  decide?(decision: Consent): void;
  hasOptedOut?(): boolean;

  readonly options: Options;
  /** Where batches go. */
  readonly url: string;
  readonly store: Store;
  /** What each event goes through, in this order, before it is kept. */
  readonly steps: Step[];
  /** The pages that the document shows, when the feature `pages` follows them. */
  navigation?: Navigation;
  /** Sends what a listener has tracked as the page is left, when it came later than the SDK's own. */
  flushOnHide: Undo;
}

/**
 * Something that the core does without. It is called before anything is read or stored, in the order of the list, and
 * returns how to stop it. Most push a step, or put a function of their own around one that the tracking has.
 */
export type Feature = (tracking: Tracking) => Undo | void;

/** Something that tracks by itself: starts when called, and returns how to stop it. */
export type Capture = (page: Page) => Undo | void;

export interface Page {
  track: Track;
  navigation: Navigation;
  watch: Tracking['watch'];
  options: Options;
}

/** Starts tracking on this page: with these features, and nothing else by itself. */
export const startTracking = (options: Options, features: Feature[]): Tracking => {
  const { apiUrl = location.origin } = options;
  const url = apiUrl.replace(/\/+$/, '') + PATH;
  const store = openStore();
  const steps: Step[] = [];
  const undo: (Undo | void)[] = [];

  /** Who the options say the visitor is holds from the first event on, but not before the features have seen to the store. */
  let given = options.userId;
  const whoIs = () => {
    if (given !== undefined) rememberUser(store, given);
    given = undefined;
    return userId(store);
  };
  const getSessionId = () => options.sessionId || sessionId(store);

  const trackEvent = safely((type: string, fields?: Fields) => {
    const device = anonymousId(store);
    let event: Fields | null = {
      event_id: uuid(),
      timestamp: Date.now(),
      anonymous_id: device,
      user_id: whoIs(),
      session_id: getSessionId(),
      sdk: SDK,
      ...fields,
      event_type: type,
    };
    each(steps, (step) => {
      event = event && step(event);
    });
    if (!event) return;
    // The numbers of a device are its own: an event about another one bears none.
    const stamp = event.anonymous_id === device && delivery.stamp(device);
    delivery.add(stringify({ ...event, properties: { ...event.properties, ...stamp } }));
  });

  const tracking = {
    options,
    url,
    store,
    steps,
    ready: () => true,
    turn: (drain) => drain(),
    post: openPost(url),
    tell: () => {},
    trackEvent,
    setUserId: (id) => rememberUser(store, id),
    getSessionId,
    stop: inOneGo(undo),
  } as Partial<Tracking> as Tracking;
  const delivery = openDelivery(options, store, tracking);
  tracking.forceFlush = delivery.flush;
  tracking.getQueueLength = delivery.length;
  tracking.flushOnHide = delivery.flushOnHide;

  each(features, (feature) => {
    undo[undo.length] = safely(feature)(tracking);
  });
  whoIs();
  keepAnonymousId(store, anonymousId(store)); // not with the first event: a tab that opens meanwhile must find it
  getSessionId();
  undo[undo.length] = delivery.start(); // last, so that what the features say as the page is left goes along
  return tracking;
};
