import type { Feature } from '../tracking.js';
import { within } from '../transport.js';

const PATIENCE = 20_000; // longer than a request may take

/**
 * One tab sends at a time, where the browser has locks. A tab that does not give back its turn (because the system has put
 * it to sleep) is passed over: the lock saves traffic, and the ids of the events make a second copy harmless.
 */
export const locks: Feature = (tracking) => {
  const { turn, options } = tracking;
  if (!navigator.locks) return;
  tracking.turn = async (drain) => {
    try {
      const signal = within(PATIENCE);
      return await navigator.locks.request(`md.send.${options.apiKey}`, { signal }, () => turn(drain));
    } catch {
      return await turn(drain);
    }
  };
};
