import { followNavigation } from '../navigation.js';
import { cleanUrl, hideParams, pageFields } from '../page.js';
import type { Feature } from '../tracking.js';

/** Says with each event on which page it happened, and where the visitor came to that page from. */
export const pages: Feature = (tracking) => {
  hideParams(tracking.options.secretParams);
  const navigation = followNavigation(tracking.options);
  tracking.navigation = navigation;
  tracking.trackPageView = (fields) => tracking.trackEvent('page_view', fields);
  tracking.steps.push((event) => {
    const { page_url = location.href } = event;
    const referrer = navigation.referrer() || undefined;
    return { ...pageFields(), referrer, ...event, page_url: cleanUrl(`${page_url}`) };
  });
  return navigation.stop;
};
