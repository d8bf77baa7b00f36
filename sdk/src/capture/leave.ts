import { onDepth } from '../depth.js';
import { inOneGo, listen } from '../listen.js';
import { cleanUrl } from '../page.js';
import type { Capture } from '../tracking.js';

/** `page_leave`: with the seconds for which the page could be seen, and how deep the visitor scrolled. */
export const leave: Capture = ({ track, navigation }) => {
  let url = '';
  let seen = 0; // milliseconds, up to `since`
  let since: number | undefined; // when the page last came into sight
  let left = false;
  let deepest = 0;

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
    deepest = 0;
    look();
  };
  const depart = (title?: string) => {
    if (left) return;
    left = true;
    look();
    track('page_leave', {
      page_url: url,
      page_title: title,
      duration: Math.round(seen) / 1000,
      scroll_depth: Math.round(deepest) || undefined,
    });
  };

  arrive();
  navigation.onNavigate(() => {
    depart();
    arrive();
  });
  return inOneGo([
    onDepth((percent) => {
      deepest = Math.max(deepest, percent);
    }),
    listen(document, 'visibilitychange', look),
    listen(window, 'pagehide', () => depart(document.title)),
  ]);
};
