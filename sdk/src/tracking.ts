import { type Delivery, type Fate, startDelivery } from './delivery.js';
import { anonymousId, rememberUser, userId } from './identity.js';
import { inOneGo, onHidden, type Undo } from './listen.js';
import { followNavigation, type Navigation } from './navigation.js';
import type { Options } from './options.js';
import { hideParams, pageFields } from './page.js';
import { debugTo, safely, say } from './safely.js';
import { sessionId } from './session.js';
import { openStore } from './store.js';
import { uuid } from './uuid.js';

export const SDK = 'maidian-js/0.1.0';

/** Fields of an event. Names that the collector does not know become properties. */
export interface Fields {
  event_id?: string;
  event_name?: string;
  timestamp?: number | string | Date;
  properties?: Record<string, unknown>;
  [name: string]: unknown;
}

export type Watcher = (fate: Fate, events: Fields[], why?: string) => void;
export type Track = (type: string, fields?: Fields) => void;

/** Something that tracks by itself: starts when called, and returns how to stop it. */
export type Capture = (page: {
  track: Track;
  navigation: Navigation;
  watch: Tracking['watch'];
  options: Options;
}) => Undo;

export interface Tracking {
  trackEvent: Track;
  trackPageView(fields?: Fields): void;
  setUserId(id: string | number | null): void;
  getSessionId(): string;
  /** Sends what waits; true when the collector has counted all of it. */
  forceFlush(): Promise<boolean>;
  getQueueLength(): number;
  /** Calls back with what becomes of events: queued, sending, confirmed, rejected, dropped, waiting. */
  watch(watcher: Watcher): Undo;
  /** Stops tracking by itself and sending; what waits stays for the next start. */
  stop: Undo;
}

const whenShown = (cb: () => void) => {
  // A page that is only prepared in case the visitor goes there was not visited.
  if ((document as { prerendering?: boolean }).prerendering) {
    document.addEventListener('prerenderingchange', cb, { once: true });
  } else cb();
};

/** Starts tracking on this page. `captures` are what tracks by itself. */
export const startTracking = (options: Options, captures: Capture[]): Tracking => {
  const { apiUrl = location.origin, apiKey, batchSize = 20, flushInterval = 5000 } = options;
  const watchers = new Set<Watcher>();
  debugTo(options.debug ? console.log.bind(console) : undefined);

  hideParams(options.secretParams);

  const store = openStore();
  if (options.userId !== undefined) rememberUser(store, options.userId);
  const session = () => options.sessionId ?? sessionId(store);

  anonymousId(store); // now, not with the first event: a second tab that opens meanwhile must find them
  session();

  const tell = safely((fate: Fate, bodies: string[], why?: string) => {
    if (!bodies.length || !(watchers.size || options.debug)) return;
    const events: Fields[] = bodies.map((body) => JSON.parse(body));
    say(fate, events.map((event) => event.event_type).join(', '), why ?? '');
    watchers.forEach((watcher) => safely(watcher)(fate, events, why));
  });
  const delivery: Delivery = startDelivery({ apiUrl, apiKey, batchSize, flushInterval }, store, tell);
  const navigation = followNavigation(options);

  const trackEvent = safely((type: string, fields: Fields = {}) => {
    const event = {
      event_id: uuid(),
      timestamp: Date.now(),
      anonymous_id: anonymousId(store),
      user_id: userId(store),
      session_id: session(),
      referrer: navigation.referrer() || undefined,
      sdk: SDK,
      ...pageFields(),
      ...fields,
      event_type: type,
    };
    delivery.add(JSON.stringify(event));
  });

  const watch = (watcher: Watcher): Undo => {
    watchers.add(watcher);
    return () => watchers.delete(watcher);
  };

  const undo: Undo[] = [() => delivery.stop(), () => navigation.stop()];
  whenShown(() => {
    captures.forEach((capture) => undo.push(capture({ track: trackEvent, navigation, watch, options })));
    undo.push(onHidden(safely(delivery.flushOnHide))); // last, so that what the captures say on leaving goes along
  });

  return {
    trackEvent,
    trackPageView: (fields) => trackEvent('page_view', fields),
    setUserId: (id) => rememberUser(store, id),
    getSessionId: session,
    forceFlush: delivery.flush,
    getQueueLength: delivery.length,
    watch,
    stop: inOneGo(undo),
  };
};
