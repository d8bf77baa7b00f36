import { deadClicks } from './capture/dead.js';
import { vitals } from './capture/vitals.js';
import { ways } from './feature/ways.js';

/** What the script tag's build leaves to this file, because nothing is lost when it comes a moment after the page: see late.ts. */
export const more = { deadClicks, vitals, ways };

(window as unknown as { maidian: { more: typeof more } }).maidian.more = more;
