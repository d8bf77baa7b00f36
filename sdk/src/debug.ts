import { inOneGo } from './listen.js';
import type { Overlay } from './overlay.js';
import { say } from './safely.js';
import type { Capture } from './tracking.js';

/** Brings the overlay's code, which no page loads that was not asked to. */
export type LoadOverlay = () => Promise<() => Overlay>;

/** Shows on the page itself what becomes of its events, when its address asks for it with `maidian_debug=1`. */
export const debugOverlay =
  (load: LoadOverlay): Capture =>
  ({ watch }) => {
    if (!/[?&]maidian_debug=1(&|$)/.test(location.search)) return;
    const overlay = load().then((open) => open());
    const use = (how: (overlay: Overlay) => void) => overlay.then(how).catch(say);
    return inOneGo([watch((...news) => use(({ show }) => show(...news))), () => use(({ close }) => close())]);
  };
