import { attributes } from './capture/attributes.js';
import { clicks } from './capture/clicks.js';
import { deadClicks } from './capture/dead.js';
import { downloads } from './capture/downloads.js';
import { errors } from './capture/errors.js';
import { forms } from './capture/forms.js';
import { leave } from './capture/leave.js';
import { outbound } from './capture/outbound.js';
import { pageViews } from './capture/pageviews.js';
import { rageClicks } from './capture/rage.js';
import { scroll } from './capture/scroll.js';
import { search } from './capture/search.js';
import { vitals } from './capture/vitals.js';

/** All that can be tracked by itself, in the order in which news reach them: a page is left before the next is viewed. */
export const captures = {
  leave,
  scroll,
  pageViews,
  search,
  clicks,
  rageClicks,
  deadClicks,
  outbound,
  downloads,
  forms,
  attributes,
  errors,
  vitals,
};

export type CaptureName = keyof typeof captures;
