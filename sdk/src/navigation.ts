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

/**
 * Follows a single-page application by the history calls it makes. The news come a moment later: by then the page has
 * usually set its title, and of several addresses set in a row only the one that stays is a page. An address that is
 * replaced by one with another query is still the same page (a filter, a cursor); with another path it is not.
 */
export const followNavigation = ({ hashRoutes }: { hashRoutes?: boolean } = {}): Navigation => {
  const callbacks: ((left: string) => void)[] = [];
  const route = () => location.pathname + (hashRoutes ? location.hash : '');
  let referrer = cleanUrl(document.referrer);
  let url: string;
  let path: string;
  let query: string;
  let replaced: boolean; // the address has only been replaced since we last looked
  let timer: ReturnType<typeof setTimeout> | undefined;

  const read = () => {
    url = cleanUrl(location.href);
    path = route();
    query = location.search;
    replaced = true;
  };
  const look = safely((again?: boolean) => {
    clearTimeout(timer);
    timer = undefined;
    const moved = path !== route() || (!replaced && query !== location.search);
    const left = url;
    read();
    if (moved) referrer = left;
    if (moved || again) callbacks.forEach((cb) => safely(cb)(left));
  });
  const lookSoon = (moved: boolean) => {
    if (moved) replaced = false;
    timer = timer || setTimeout(look);
  };
  const wrap = (name: 'pushState' | 'replaceState'): Undo => {
    const original = history[name];
    const wrapped: typeof original = function (this: History, ...args) {
      original.apply(this, args);
      lookSoon(name === 'pushState');
    };
    history[name] = wrapped;
    return () => {
      if (history[name] === wrapped) history[name] = original;
    };
  };

  read();
  const undo = [
    wrap('pushState'),
    wrap('replaceState'),
    listen('popstate', () => lookSoon(true)),
    listen('pagehide', () => timer && look()), // a page that was shown for no more than that moment
    listen<PageTransitionEvent>('pageshow', (event) => event.persisted && look(true)),
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
