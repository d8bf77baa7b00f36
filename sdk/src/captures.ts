import { clicks } from './capture/clicks.js';
import { forms } from './capture/forms.js';
import { leave } from './capture/leave.js';
import { pageViews } from './capture/pageviews.js';
import { scroll } from './capture/scroll.js';

/** All that can be tracked by itself, in the order in which news reach them: a page is left before the next is viewed. */
export const captures = { leave, scroll, pageViews, clicks, forms };

export type CaptureName = 'leave' | 'scroll' | 'pageViews' | 'clicks' | 'forms';
