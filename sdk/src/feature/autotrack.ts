import { each } from '../each.js';
import { inOneGo, listen, onHidden, type Undo } from '../listen.js';
import { safely } from '../safely.js';
import type { Capture, Feature, Page } from '../tracking.js';

const whenShown = (cb: () => void) => {
  // A page that is only prepared in case the visitor goes there was not visited.
  if ((document as { prerendering?: boolean }).prerendering) {
    listen('prerenderingchange', cb);
  } else cb();
};

/** Tracks by itself what the captures do, in their order. Needs `pages`, and stands last: some track as they start. */
export const autoTrack =
  (captures: Capture[]): Feature =>
  (tracking) => {
    const page = { ...tracking, track: tracking.trackEvent } as Page;
    const undo: (Undo | void)[] = [];
    whenShown(() => {
      each(captures, (capture) => undo.push(safely(capture)(page)));
      undo.push(onHidden(tracking.flushOnHide)); // what they say as the page is left goes along
    });
    return inOneGo(undo);
  };
