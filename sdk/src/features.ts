/**
 * All that `initTracking` puts around the core, piece by piece, for `initCore`. Their order is that of `start`: watching,
 * reporting, cookieless, cookies, consent, campaigns, beacon, gzip, spill, locks, registered, timed, pages, beforeSend, autoTrack.
 * `ways` is beacon, gzip, spill and locks in one.
 */

export { attributes } from './capture/attributes.js';
export { clicks } from './capture/clicks.js';
export { deadClicks } from './capture/dead.js';
export { downloads } from './capture/downloads.js';
export { errors } from './capture/errors.js';
export { forms } from './capture/forms.js';
export { leave } from './capture/leave.js';
export { outbound } from './capture/outbound.js';
export { pageViews } from './capture/pageviews.js';
export { rageClicks } from './capture/rage.js';
export { scroll } from './capture/scroll.js';
export { search } from './capture/search.js';
export { vitals } from './capture/vitals.js';
export { autoTrack } from './feature/autotrack.js';
export { beacon } from './feature/beacon.js';
export { beforeSend } from './feature/beforesend.js';
export { campaigns } from './feature/campaign.js';
export { consent } from './feature/consent.js';
export { cookieless } from './feature/cookieless.js';
export { cookies } from './feature/cookies.js';
export { gzip } from './feature/gzip.js';
export { locks } from './feature/locks.js';
export { pages } from './feature/pages.js';
export { registered } from './feature/register.js';
export { reporting } from './feature/report.js';
export { spill } from './feature/spill.js';
export { timed } from './feature/timing.js';
export { watching } from './feature/watch.js';
export { ways } from './feature/ways.js';
