import { cleanUrl } from '../page.js';
import type { Capture } from '../tracking.js';

const LONGEST = 200;

/** `search`: what was searched for on this site, by the page's address; the next page of its results is no other search. */
export const search: Capture = ({ track, navigation, options }) => {
  const { searchParams: names = ['q', 's', 'search', 'query', 'keyword'] } = options;
  const queryIn = (url: string) => {
    const { host, searchParams } = new URL(cleanUrl(url), location.origin);
    const name = host === location.host && names.find((name) => searchParams.get(name));
    return name && (searchParams.get(name) as string).trim().slice(0, LONGEST);
  };
  let last = queryIn(navigation.referrer());
  const look = () => {
    const query = queryIn(location.href);
    if (query && query !== last) track('search', { properties: { query } });
    last = query;
  };
  look();
  navigation.onNavigate(look);
};
