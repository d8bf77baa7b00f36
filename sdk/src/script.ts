import type { LoadOverlay } from './debug.js';
import * as core from './functions.js';
import type { Options } from './options.js';
import { safely } from './safely.js';
import { start } from './start.js';

/** A call that the stub took down before this script had loaded. */
type EarlyCall = [name: string, args: unknown[], at: number];

interface Page {
  maidian?: Partial<typeof core> & { q?: EarlyCall[]; openOverlay?: Awaited<ReturnType<LoadOverlay>> };
  trustedTypes?: { createPolicy(name: string, rules: { createScriptURL(url: string): string }): typeof rules };
}
const page = window as unknown as Page;
const tag = document.currentScript;

/** The overlay stands beside this script, and needs no more permission than this script did. */
const loadOverlay: LoadOverlay = () =>
  new Promise((loaded) => {
    const { src, nonce } = tag as HTMLScriptElement;
    const rules = { createScriptURL: (url: string) => new URL('sdk-overlay.js', url).href };
    const script = document.createElement('script');
    script.nonce = nonce;
    script.src = (page.trustedTypes?.createPolicy('maidian', rules) ?? rules).createScriptURL(src);
    script.onload = () => page.maidian?.openOverlay && loaded(page.maidian.openOverlay);
    document.head.append(script);
  });

const maidian = { ...core, initTracking: (options: Options) => start(options, loadOverlay) };

/** The options that stand on the script tag itself, as data attributes. */
const optionsOf = ({ src, dataset }: HTMLScriptElement): Options => {
  const flag = (text?: string) => (text === undefined ? undefined : text !== 'false');
  const number = (text?: string) => (text ? Number(text) : undefined);
  return {
    apiKey: dataset.apiKey ?? '',
    apiUrl: dataset.apiUrl ?? new URL(src).origin,
    userId: dataset.userId,
    sessionId: dataset.sessionId,
    debug: flag(dataset.debug),
    autoTrack: flag(dataset.autoTrack),
    batchSize: number(dataset.batchSize),
    flushInterval: number(dataset.flushInterval),
  };
};

/** Makes up for the calls that came too early; events get the time at which they were called. */
const replay = safely(([name, args, at]: EarlyCall) => {
  const fields = name === 'trackEvent' ? 1 : 0;
  const call = [...args];
  if (name === 'trackEvent' || name === 'trackPageView') call[fields] = { timestamp: at, ...(call[fields] as object) };
  (maidian as unknown as Record<string, (...args: unknown[]) => void>)[name](...call);
});

const install = safely(() => {
  const before = page.maidian;
  if (before && !before.q) return; // loaded twice
  page.maidian = maidian;
  if (tag instanceof HTMLScriptElement && tag.dataset.apiKey) maidian.initTracking(optionsOf(tag));
  before?.q?.forEach(replay);
});

install();
