import type { CaptureName } from './captures.js';
import type { Consent } from './feature/consent.js';
import type { Fields } from './tracking.js';

export interface Options {
  /** The write key of the project (`wk_…`). */
  apiKey: string;
  /** Where the collector is, e.g. `https://events.example`; default: the page's own origin. */
  apiUrl?: string;
  /** Who the visitor is, when known; null forgets who it was. Left out: as last set in this browser. */
  userId?: string | number | null;
  /** A session id of your own, used as it is; default: one that ends after 30 idle minutes. */
  sessionId?: string;
  /** Says in the console what becomes of each event; default false. */
  debug?: boolean;
  /** What is tracked by itself: all (true, the default), nothing (false), or a choice: `{ scroll: false }`. */
  autoTrack?: boolean | Partial<Record<CaptureName, boolean>>;
  /** The part of the address after `#` names a page too, as in `#/cart`; default false. */
  hashRoutes?: boolean;
  /** Query parameters that hold what was searched for on the site; default q, s, search, query, keyword. */
  searchParams?: string[];
  /** Names of query parameters that no address may carry out of the page, besides those that promise a secret anyway. */
  secretParams?: string[];
  /** Events after which a batch is sent without waiting; default 20. */
  batchSize?: number;
  /** Milliseconds after which whatever is there is sent; default 5000. */
  flushInterval?: number;
  /** Changes each event before it is kept, in place or by another one; null drops it. */
  beforeSend?: (event: Fields) => Fields | null | undefined;
  /** Hears what went wrong: errors inside, in hooks, and events that were rejected or dropped. */
  onError?: (error: unknown) => void;
  /** Whether the visitor lets you track, until `optIn` or `optOut` is called; default granted. */
  consent?: Consent;
  /** Whether a browser's Do Not Track and Global Privacy Control count as a no; default true. */
  respectDnt?: boolean;
  /** Keeps nothing at all on the device; default false. */
  cookieless?: boolean;
  /** The domain whose subdomains share the visitor's ids, by cookies, e.g. `shop.example`; default: each has its own. */
  cookieDomain?: string;
}
