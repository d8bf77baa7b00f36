import type { Store } from './store.js';
import { uuid } from './uuid.js';

const ANONYMOUS = 'md.anon';
const USER = 'md.user';

/** The id of this browser: made once and kept. */
export const anonymousId = (store: Store): string => {
  const kept = store.get(ANONYMOUS);
  if (kept) return kept;
  const made = uuid();
  store.set(ANONYMOUS, made);
  return made;
};

/** The known user, as last set in any tab. */
export const userId = (store: Store): string | undefined => store.get(USER) ?? undefined;

/** Remembers who the user is; null and the empty text forget it. */
export const rememberUser = (store: Store, id: string | number | null): void => {
  if (id === null || id === '') store.remove(USER);
  else store.set(USER, `${id}`);
};
