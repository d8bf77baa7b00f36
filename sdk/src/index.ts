import type { Options } from './options.js';
import { start } from './start.js';
import type { Tracking } from './tracking.js';

export type { CaptureName } from './captures.js';
export * from './functions.js';

/** Starts tracking on this page, once; what happens by itself is chosen with `autoTrack`. */
export const initTracking = (options: Options): Tracking | undefined =>
  start(options, async () => (await import('./overlay.js')).openOverlay);
