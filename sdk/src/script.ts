import * as maidian from './index.js';
import type { Options } from './options.js';
import { safely } from './safely.js';

/** A call that the stub took down before this script had loaded. */
type EarlyCall = [name: string, args: unknown[], at: number];

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

const start = safely(() => {
  const page = window as unknown as { maidian?: { q?: EarlyCall[]; getTracking?: unknown } };
  const before = page.maidian;
  if (before && !before.q) return; // loaded twice
  page.maidian = { ...maidian };
  const script = document.currentScript;
  if (script instanceof HTMLScriptElement && script.dataset.apiKey) maidian.initTracking(optionsOf(script));
  before?.q?.forEach(replay);
});

start();
