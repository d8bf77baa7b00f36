import { type CaptureName, captures } from './captures.js';
import { initCore } from './core.js';
import type { Options } from './options.js';
import type { Tracking } from './tracking.js';

export type { CaptureName } from './captures.js';
export * from './core.js';

/** Starts tracking on this page, once; what happens by itself is chosen with `autoTrack`. */
export const initTracking = (options: Options): Tracking | undefined => {
  const { autoTrack = true } = options;
  const wanted = (name: CaptureName) => (typeof autoTrack === 'boolean' ? autoTrack : autoTrack[name] !== false);
  const names = Object.keys(captures) as CaptureName[];
  return initCore(
    options,
    names.filter(wanted).map((name) => captures[name]),
  );
};
