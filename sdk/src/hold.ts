import type { Store } from './store.js';

const SENDING = 20_000; // longer than a request may take
const FIRST_WAIT = 1000;
const LONGEST_BACKOFF = 30 * 60 * 1000;
const LONGEST = 24 * 60 * 60 * 1000;

/** Why nobody should send: another tab (its id) is sending, the network is gone, or the server asked for a pause. */
type Cause = string;
export const NETWORK: Cause = 'network';
export const SERVER: Cause = 'server';

export interface Hold {
  /** How long this tab has to leave the sending alone, in milliseconds. */
  remaining(): number;
  /** Makes this tab the one that sends, unless `remaining` says otherwise. */
  take(): boolean;
  release(): void;
  /** After a failure: everybody waits, longer each time, and at least as long as the server asked for. */
  wait(cause: Cause, asked?: number): number;
  cause(): Cause | undefined;
  /** Ends a wait that has that cause, for example because the network is back. */
  end(cause: Cause): void;
}

/**
 * Who may send, and from when on, in one line of shared storage: one tab at a time, and a pause that the server asked
 * for holds in all tabs and over page loads. It is a courtesy, not a lock: two tabs may slip through at once, and then
 * the ids of the events make the second copy harmless.
 */
export const openHold = (store: Store, key: string, tab: string): Hold => {
  const read = () => {
    const [by, until, failures] = (store.get(key) ?? '').split(' ');
    const left = Number(until) - Date.now();
    // A time too far ahead was written while the clock was wrong.
    return { by, left: left > 0 && left <= LONGEST ? left : 0, failures: Number(failures) || 0 };
  };
  const write = (by: string, wait: number, failures: number) =>
    store.set(key, `${by} ${Math.round(Date.now() + wait)} ${failures}`);
  const remaining = () => {
    const { by, left } = read();
    return by === tab ? 0 : left;
  };

  return {
    remaining,
    take: () => {
      if (remaining()) return false;
      write(tab, SENDING, read().failures);
      return true;
    },
    release: () => {
      if (read().by === tab) store.remove(key);
    },
    wait: (cause, asked = 0) => {
      const { failures } = read();
      const backoff = Math.min(FIRST_WAIT * 2 ** failures, LONGEST_BACKOFF) * (0.5 + Math.random() / 2);
      const wait = Math.min(Math.max(backoff, asked * (1 + Math.random() / 10)), LONGEST);
      write(cause, wait, failures + 1);
      return wait;
    },
    cause: () => (remaining() ? read().by : undefined),
    end: (cause) => {
      if (read().by === cause) store.remove(key);
    },
  };
};
