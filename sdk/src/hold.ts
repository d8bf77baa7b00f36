import { backoff, LONGEST_WAIT } from './backoff.js';
import { type Store, wordsOf } from './store.js';

export interface Hold {
  /** How long the collector is to be left alone, in milliseconds. */
  remaining(): number;
  /** After a failure: everybody waits, longer each time, and at least as long as the server asked for. */
  wait(status: number, retryAfter?: number): number;
  /** The collector answers again; or, of a wait that began without any answer, the network is back. */
  end(network?: boolean): void;
}

/** From when on anybody may send, in one line of shared storage: a pause holds in all tabs and over page loads. */
export const openHold = (store: Store, key: string): Hold => {
  const read = () => wordsOf(store, key);
  return {
    remaining: () => {
      const left = +read()[0] - Date.now();
      return left > 0 && left <= LONGEST_WAIT ? left : 0; // a time too far ahead was written while the clock was wrong
    },
    wait: (status, retryAfter) => {
      const failures = +read()[2] || 0;
      const wait = backoff(failures, retryAfter);
      store.set(key, `${Math.round(Date.now() + wait)} ${status} ${failures + 1}`);
      return wait;
    },
    end: (network) => {
      if (!network || read()[1] === '0') store.remove(key);
    },
  };
};
