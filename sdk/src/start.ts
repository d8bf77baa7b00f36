import { type CaptureName, captures } from './captures.js';
import { initCore } from './core.js';
import { debugOverlay, type LoadOverlay } from './debug.js';
import { autoTrack } from './feature/autotrack.js';
import { beforeSend } from './feature/beforesend.js';
import { campaigns } from './feature/campaign.js';
import { consent } from './feature/consent.js';
import { cookieless } from './feature/cookieless.js';
import { cookies } from './feature/cookies.js';
import { pages } from './feature/pages.js';
import { registered } from './feature/register.js';
import { reporting } from './feature/report.js';
import { timed } from './feature/timing.js';
import { watching } from './feature/watch.js';
import { ways } from './feature/ways.js';
import type { Options } from './options.js';
import { safely } from './safely.js';
import type { Tracking } from './tracking.js';

/** All that the core does without, in the order in which it is started and in which an event comes by. */
const features = [
  ...[watching, reporting],
  ...[cookieless, cookies, consent, campaigns], // each looks at what those before it left of the store
  ways,
  ...[registered, timed, pages, beforeSend], // beforeSend sees all that the others have said
];

/** Starts tracking on this page with the captures that `autoTrack` chooses. */
export const start = safely((options: Options, loadOverlay: LoadOverlay): Tracking | undefined => {
  const { autoTrack: choice = true } = options;
  const wanted = (name: CaptureName) => choice && (choice === true || choice[name] !== false);
  const names = Object.keys(captures) as CaptureName[];
  const chosen = [debugOverlay(loadOverlay), ...names.filter(wanted).map((name) => captures[name])];
  return initCore(options, [...features, autoTrack(chosen)]);
});
