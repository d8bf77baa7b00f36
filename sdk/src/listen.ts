import { each } from './each.js';
import { safely } from './safely.js';

/** Takes back what was done; written beside it. */
export type Undo = () => void;

/** Several of them as one. */
export const inOneGo =
  (undo: (Undo | void)[]): Undo =>
  () =>
    each(undo, (stop) => stop && stop());

/** Listens to what happens to the window or anything in it: in the capture phase, so that a page that stops propagation is heard too. */
export const listen = <E extends Event>(type: string, hear: (event: E) => void): Undo => {
  const listener = safely(hear) as EventListener;
  addEventListener(type, listener, true);
  return () => removeEventListener(type, listener, true);
};

/** Calls `cb` each time the page is hidden or left: the last moments at which a send is likely to arrive. */
export const onHidden = (cb: () => void): Undo =>
  inOneGo([
    listen('visibilitychange', () => {
      if (document.hidden) cb();
    }),
    listen('pagehide', cb),
  ]);
