import type { Store } from './store.js';

const FIRST_WAIT = 1000;
const LONGEST_BACKOFF = 30 * 60 * 1000;
const LONGEST = 24 * 60 * 60 * 1000;

export interface Hold {
  /** How long the collector is to be left alone, in milliseconds. */
  remaining(): number;
  /** Whether that is because the server asked for it, and not because no answer came. */
  asked(): boolean;
  /** After a failure: everybody waits, longer each time, and at least as long as the server asked for. */
  wait(status: number, retryAfter?: number): number;
  /** The collector answers again. */
  end(): void;
}

/** From when on anybody may send, in one line of shared storage: a pause holds in all tabs and over page loads. */
export const openHold = (store: Store, key: string): Hold => {
  const read = () => (store.get(key) ?? '').split(' ').map(Number);
  const remaining = () => {
    const [until] = read();
    const left = until - Date.now();
    return left > 0 && left <= LONGEST ? left : 0; // a time too far ahead was written while the clock was wrong
  };
  return {
    remaining,
    asked: () => remaining() > 0 && read()[1] > 0,
    wait: (status, retryAfter = 0) => {
      const failures = read()[2] || 0;
      const backoff = Math.min(FIRST_WAIT * 2 ** failures, LONGEST_BACKOFF) * (0.5 + Math.random() / 2);
      const wait = Math.min(Math.max(backoff, retryAfter * (1 + Math.random() / 10)), LONGEST);
      store.set(key, `${Math.round(Date.now() + wait)} ${status} ${failures + 1}`);
      return wait;
    },
    end: () => store.remove(key),
  };
};
