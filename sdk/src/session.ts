import { type Store, wordsOf } from './store.js';
import { uuid } from './uuid.js';

const IDLE = 30 * 60 * 1000;
const LONGEST = 24 * 60 * 60 * 1000;
export const SESSION = 'md.session';

/**
 * The id of the visit that is going on, in all tabs together: it ends after 30 minutes without an event and after a day at
 * the latest. Distances are absolute, so that a clock that is set back does not keep a session alive for ever.
 */
export const sessionId = (store: Store, now = Date.now()): string => {
  let [id, began, last] = wordsOf(store, SESSION);
  if (!(Math.abs(now - +last) < IDLE && Math.abs(now - +began) < LONGEST)) {
    id = uuid(now);
    began = `${now}`;
  }
  store.set(SESSION, `${id} ${began} ${now}`);
  return id;
};
