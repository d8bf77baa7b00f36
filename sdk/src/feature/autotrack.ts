import { each } from '../each.js';
import { inOneGo, onHidden, type Undo } from '../listen.js';
import type { Navigation } from '../navigation.js';
import { safely } from '../safely.js';
import type { Capture, Feature } from '../tracking.js';

const whenShown = (cb: () => void) => {
  // A page that is only prepared in case the visitor goes there was not visited.
  if ((document as { prerendering?: boolean }).prerendering) {
    document.addEventListener('prerenderingchange', cb, { once: true });
  } else cb();
};

/** Tracks by itself what the captures do, in their order. Needs `pages`, and stands last: some track as they start. */
export const autoTrack =
  (captures: Capture[]): Feature =>
  (tracking) => {
    const { trackEvent: track, watch, options, flushOnHide } = tracking;
    const navigation = tracking.navigation as Navigation;
    const undo: (Undo | void)[] = [];
    whenShown(() => {
      each(captures, (capture) => undo.push(safely(capture)({ track, navigation, watch, options })));
      undo.push(onHidden(flushOnHide)); // what they say as the page is left goes along
    });
    return inOneGo(undo);
  };
