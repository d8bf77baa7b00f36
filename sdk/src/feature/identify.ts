import { trackEvent, withTracking } from '../core.js';
import { each } from '../each.js';
import { ANONYMOUS, USER } from '../identity.js';
import { SESSION } from '../session.js';
import { REGISTERED } from './register.js';
import { TIMED } from './timing.js';

/**
 * Says who the visitor is, and joins what this browser did before to that user. What else is known about the user
 * (traits) stands in the properties of the event that says so; without traits it is said once.
 */
export const identify = (id: string | number, traits?: Record<string, unknown>): void => {
  const timestamp = Date.now();
  withTracking(({ store, setUserId, trackEvent }) => {
    if (!traits && store.get(USER) === `${id}`) return;
    setUserId(id);
    trackEvent('$identify', { timestamp, properties: traits });
  });
};

/** Joins what was done under an anonymous id (this browser's, or another one's) to a user, whoever is the user here. */
export const alias = (id: string | number, anonymousId?: string): void => {
  trackEvent('$alias', { user_id: id, ...(anonymousId && { anonymous_id: anonymousId }) });
};

/** Forgets user, session and registered properties, as after a log-out; and the browser's id, unless it is to be kept. */
export const reset = ({ keepDevice }: { keepDevice?: boolean } = {}): void =>
  withTracking(({ store }) => {
    each([USER, SESSION, REGISTERED, keepDevice ? '' : ANONYMOUS], store.remove);
    each(store.keys(), (key) => {
      if (key.startsWith(TIMED)) store.remove(key);
    });
  });
