import { inOneGo, listen } from '../listen.js';
import { cleanUrl } from '../page.js';
import type { Capture } from '../tracking.js';

/** `page_leave`: with the seconds for which the page could be seen. */
export const leave: Capture = ({ track, navigation }) => {
  let url = '';
  let seen = 0; // milliseconds, up to `since`
  let since: number | undefined; // when the page last came into sight
  let left = false;

  const look = () => {
    const now = performance.now();
    if (since !== undefined) seen += now - since;
    since = document.visibilityState === 'visible' ? now : undefined;
  };
  const arrive = () => {
    url = cleanUrl(location.href);
    seen = 0;
    since = undefined;
    left = false;
    look();
  };
  const depart = (title?: string) => {
    if (left) return;
    left = true;
    look();
    track('page_leave', { page_url: url, page_title: title, duration: Math.round(seen) / 1000 });
  };

  arrive();
  navigation.onNavigate(() => {
    depart();
    arrive();
  });
  const undo = [listen(document, 'visibilitychange', look), listen(window, 'pagehide', () => depart(document.title))];
  return inOneGo(undo);
};
