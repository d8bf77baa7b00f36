import { onDepth } from '../depth.js';
import { inOneGo, listen } from '../listen.js';
import type { Capture } from '../tracking.js';

/** `page_leave`: with the seconds for which the page could be seen, and how deep the visitor scrolled. */
export const leave: Capture = ({ track, navigation }) => {
  let url = '';
  let seen = 0; // milliseconds, up to `since`
  let since = 0;
  let visible = false; // from then on
  let deepest = 0;
  let left = true;

  const look = () => {
    const now = performance.now();
    if (visible) seen += now - since;
    since = now;
    visible = !document.hidden;
  };
  const arrive = () => {
    look();
    url = location.href;
    seen = deepest = 0;
    left = false;
  };
  const depart = (page_title?: string) => {
    if (left) return;
    left = true;
    look();
    const scroll_depth = Math.round(deepest) || undefined;
    track('page_leave', { page_url: url, page_title, duration: Math.round(seen) / 1000, scroll_depth });
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
    listen('visibilitychange', look),
    listen('pagehide', () => depart(document.title)),
  ]);
};
