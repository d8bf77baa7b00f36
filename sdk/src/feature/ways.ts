import { each } from '../each.js';
import type { Feature } from '../tracking.js';
import { beacon } from './beacon.js';
import { gzip } from './gzip.js';
import { locks } from './locks.js';
import { spill } from './spill.js';

/**
 * All that makes the way out better, from the inside. Without it, and until it is there, nothing is lost: batches go plain,
 * two tabs may send the same, and the page's memory takes what localStorage has no room for.
 */
export const ways: Feature = (tracking) => {
  const { store } = tracking;
  each([beacon, gzip, spill, locks], (way) => way(tracking));
  each(Object.keys(store.memory), (key) => store.set(key, store.memory[key])); // there may be room for it now
};
