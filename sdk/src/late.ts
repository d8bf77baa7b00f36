import { type Brought, load } from './load.js';
import { say } from './safely.js';
import type { Capture, Feature } from './tracking.js';

/** Once for all that stands in it, when the page itself has loaded. */
let more: ReturnType<typeof load> | undefined;
const bring = () =>
  new Promise((loaded) => {
    if (document.readyState === 'complete') loaded(0);
    else addEventListener('load', loaded);
  }).then(() => load('sdk-more.js'));

/** In place of a piece that stands in sdk-more.js: starts it as soon as it is there. */
const late =
  (name: keyof Brought['more']) =>
  // biome-ignore lint/suspicious/noExplicitAny: a capture is given a page, a feature the tracking
  (given: any) => {
    more = more || bring();
    const stop = more.then((brought) => brought.more[name](given)).catch(say);
    return () => {
      stop.then((undo) => undo && undo());
    };
  };

export const deadClicks: Capture = late('deadClicks');
export const vitals: Capture = late('vitals');
export const ways: Feature = late('ways');
