import { inOneGo, listen, type Undo } from './listen.js';
import { cleanUrl } from './page.js';
import { safely } from './safely.js';

/** The pages that one document shows, one after the other. */
export interface Navigation {
  /** Where the visitor came to the present page from. */
  referrer(): string;
  /** Calls `cb` with the address left behind, after the document shows another page, or this one again from the back/forward cache. */
  onNavigate(cb: (left: string) => void): void;
  stop: Undo;
}

const address = () => location.pathname + location.search;

/**
 * Follows a single-page application by the history calls it makes. The news come a moment later: by then the page has
 * usually set its title, and of several addresses set in a row only the one that stays is a page.
 */
export const followNavigation = (): Navigation => {
  const callbacks: ((left: string) => void)[] = [];
  let referrer = cleanUrl(document.referrer);
  let url = cleanUrl(location.href);
  let shown = address();
  let timer: ReturnType<typeof setTimeout> | undefined;

  const tell = safely((again: boolean) => {
    if (!again && shown === address()) return;
    const left = url;
    if (!again) referrer = left;
    url = cleanUrl(location.href);
    shown = address();
    callbacks.forEach((cb) => safely(cb)(left));
  });
  const look = () => {
    clearTimeout(timer);
    timer = setTimeout(tell, 0, false);
  };
  const wrap = (name: 'pushState' | 'replaceState'): Undo => {
    const original = history[name];
    const wrapped: typeof original = function (this: History, ...args) {
      original.apply(this, args);
      look();
    };
    history[name] = wrapped;
    return () => {
      if (history[name] === wrapped) history[name] = original;
    };
  };

  const undo = [
    wrap('pushState'),
    wrap('replaceState'),
    listen(window, 'popstate', look),
    listen<PageTransitionEvent>(window, 'pageshow', (event) => {
      if (event.persisted) tell(true);
    }),
    () => clearTimeout(timer),
  ];
  return {
    referrer: () => referrer,
    onNavigate: (cb) => {
      callbacks.push(cb);
    },
    stop: inOneGo(undo),
  };
};
