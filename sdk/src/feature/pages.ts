import { followNavigation } from '../navigation.js';
import { hideParams, pageFields } from '../page.js';
import type { Feature } from '../tracking.js';

/** Says with each event on which page it happened, and where the visitor came to that page from. */
export const pages: Feature = (tracking) => {
  hideParams(tracking.options.secretParams);
  const navigation = followNavigation(tracking.options);
  tracking.navigation = navigation;
  tracking.trackPageView = (fields) => tracking.trackEvent('page_view', fields);
  tracking.steps.push((event) => ({ ...pageFields(), referrer: navigation.referrer() || undefined, ...event }));
  return navigation.stop;
};
