import type { Store } from './store.js';
import { uuid } from './uuid.js';

export const ANONYMOUS = 'md.anon';
export const USER = 'md.user';

/** The id of this browser: made once and kept. */
export const anonymousId = (store: Store): string => store.get(ANONYMOUS) || keepAnonymousId(store, uuid());

/** Keeps the id, again too: what keeps it may count from the last time. */
export const keepAnonymousId = (store: Store, id: string): string => {
  store.set(ANONYMOUS, id);
  return id;
};

/** The known user, as last set in any tab. */
export const userId = (store: Store): string | undefined => store.get(USER) || undefined;

/** Remembers who the user is; null and the empty text forget it. */
export const rememberUser = (store: Store, id: string | number | null): void => {
  if (id || id === 0) store.set(USER, `${id}`);
  else store.remove(USER);
};
