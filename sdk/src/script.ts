import {
  forceFlush,
  getQueueLength,
  getSessionId,
  getTracking,
  setUserId,
  shutdown,
  trackEvent,
  trackPageView,
} from './core.js';
import { each } from './each.js';
import { optIn, optOut } from './feature/consent.js';
import { alias, identify, reset } from './feature/identify.js';
import { register, registerOnce, unregister } from './feature/register.js';
import { timeEvent } from './feature/timing.js';
import { hasOptedOut } from './functions.js';
import { parsed } from './json.js';
import { load, tag } from './load.js';
import type { Options } from './options.js';
import { safely } from './safely.js';
import { start } from './start.js';

/** A call that the stub took down before this script had loaded. */
type EarlyCall = [name: string, args: unknown[], at: number];

const page = window as unknown as { maidian?: Partial<typeof maidian> & { q?: EarlyCall[] } };

const loadOverlay = async () => (await load('sdk-overlay.js')).openOverlay;

/** What `window.maidian` has, name by name: an object made of a whole module would take twice the room. */
const maidian = {
  initTracking: (options: Options) => start(options, loadOverlay),
  alias,
  forceFlush,
  getQueueLength,
  getSessionId,
  getTracking,
  hasOptedOut,
  identify,
  optIn,
  optOut,
  register,
  registerOnce,
  reset,
  setUserId,
  shutdown,
  timeEvent,
  trackEvent,
  trackPageView,
  unregister,
};

/** The options that stand on the script tag itself, as data attributes: `data-batch-size="50"`, `data-debug`. */
const optionsOf = ({ src, dataset }: HTMLScriptElement): Options => {
  const options: Record<string, unknown> = { apiUrl: new URL(src).origin };
  for (const name in dataset) {
    const text = dataset[name] as string;
    options[name] = /^(true|false|\d+|[[{].*)$/.test(text) && !/Id$/.test(name) ? parsed(text) : text || true;
  }
  return options as unknown as Options;
};

/** Makes up for the calls that came too early; events get the time at which they were called. */
const replay = safely(([name, args, at]: EarlyCall) => {
  const call = [...args];
  const fields = { trackEvent: 1, trackPageView: 0 }[name];
  if (fields !== undefined) call[fields] = { timestamp: at, ...(call[fields] as object) };
  (maidian as unknown as Record<string, (...args: unknown[]) => void>)[name](...call);
});

const install = safely(() => {
  const { q } = page.maidian || { q: [] };
  if (!q) return; // loaded twice
  page.maidian = maidian;
  if (tag && tag.dataset.apiKey) maidian.initTracking(optionsOf(tag));
  each(q, replay);
});

install();
