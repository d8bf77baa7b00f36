import { SESSION } from '../session.js';
import type { Feature } from '../tracking.js';

const CAMPAIGN = 'md.campaign';

/** Another campaign than the last one brings the visitor: a visit of its own begins. */
export const campaigns: Feature = ({ store }) => {
  const campaign = (location.search.match(/\b(utm_\w+|\w*clid)=[^&]+/g) || []).join('&');
  if (!campaign || campaign === store.get(CAMPAIGN)) return;
  store.set(CAMPAIGN, campaign);
  store.remove(SESSION);
};
