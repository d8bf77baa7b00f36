import { safely } from './safely.js';

/** Takes back what was done; written beside it. */
export type Undo = () => void;

/** Several of them as one. */
export const inOneGo =
  (undo: Undo[]): Undo =>
  () =>
    undo.forEach((stop) => stop());

/** Listens in the capture phase, so that a page that stops propagation is heard too, and without ever delaying it. */
export const listen = <E extends Event>(target: EventTarget, type: string, hear: (event: E) => void): Undo => {
  const listener = safely(hear) as EventListener;
  const options = { capture: true, passive: true };
  target.addEventListener(type, listener, options);
  return () => target.removeEventListener(type, listener, options);
};

/** Calls `cb` each time the page is hidden or left: the last moments at which a send is likely to arrive. */
export const onHidden = (cb: () => void): Undo => {
  const undo = [
    listen(document, 'visibilitychange', () => {
      if (document.visibilityState === 'hidden') cb();
    }),
    listen(window, 'pagehide', cb),
  ];
  return inOneGo(undo);
};
