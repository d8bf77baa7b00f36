import { type CaptureName, captures } from './captures.js';
import { initCore } from './core.js';
import { debugOverlay, type LoadOverlay } from './debug.js';
import type { Options } from './options.js';
import type { Tracking } from './tracking.js';

/** Starts tracking on this page with the captures that `autoTrack` chooses. */
export const start = (options: Options, loadOverlay: LoadOverlay): Tracking | undefined => {
  const { autoTrack = true } = options;
  const wanted = (name: CaptureName) => (typeof autoTrack === 'boolean' ? autoTrack : autoTrack[name] !== false);
  const names = Object.keys(captures) as CaptureName[];
  return initCore(options, [debugOverlay(loadOverlay), ...names.filter(wanted).map((name) => captures[name])]);
};
