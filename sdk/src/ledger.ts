import { each } from './each.js';
import { parsed, stringify } from './json.js';
import type { Reason } from './queue.js';
import { type Store, wordsOf } from './store.js';

/** What an event says of those that did not get here: its number on this device, and how many were given up, and why. */
export interface Stamp {
  $sequence: number;
  $dropped?: Record<string, number>;
}

export interface Ledger {
  stamp(anonymousId: string): Stamp;
  /** Counts an event that will never be sent again, until the next stamp reports it; and hands on what it was to report. */
  lost(body: string, why?: Reason): void;
}

/**
 * The account by which the server knows what is missing. Numbers run 1, 2, 3 … for each anonymous id and write key, in
 * all tabs together, and are taken in the same synchronous step as the event is kept, so that an event that is made as
 * the page is left has one too. Storage has no atomic step of its own: two tabs may take the same number when they track
 * within the same few milliseconds. Then a number is there twice, and never left out, so nothing seems lost that is not.
 */
export const openLedger = (store: Store, apiKey: string): Ledger => {
  const last = `md.seq.${apiKey}`;
  const losses = `md.lost.${apiKey}`;
  const dropped = (): Record<string, number> | undefined => parsed(store.get(losses)) || undefined;

  return {
    stamp: (anonymousId) => {
      const [whose, number] = wordsOf(store, last);
      const $sequence = (whose === anonymousId ? +number | 0 : 0) + 1;
      const $dropped = dropped();
      store.set(last, `${anonymousId} ${$sequence}`);
      store.remove(losses);
      return { $sequence, $dropped };
    },
    lost: (body, why) => {
      const sum = dropped() || {};
      const { $dropped } = (parsed(body) || {}).properties || {};
      each([why && { [why]: 1 }, $dropped], (more) => {
        for (const reason in more) {
          sum[reason] = (sum[reason] || 0) + more[reason];
          store.set(losses, stringify(sum));
        }
      });
    },
  };
};
