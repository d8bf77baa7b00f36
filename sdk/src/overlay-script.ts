import { openOverlay } from './overlay.js';

/** The overlay as a file of its own, for the script tag's build, which fetches it from beside itself. */
(window as unknown as { maidian: { openOverlay: typeof openOverlay } }).maidian.openOverlay = openOverlay;
