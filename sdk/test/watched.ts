import { afterEach, beforeEach, vi } from 'vitest';
import { type CaptureName, captures } from '../src/captures.js';
import type { Capture, Fields, Options } from '../src/core.js';
import type { Undo } from '../src/listen.js';
import { followNavigation } from '../src/navigation.js';
import { hideParams } from '../src/page.js';
import { safely } from '../src/safely.js';

/** What the captures said, in order. */
export const tracked: [type: string, fields: Fields][] = [];
export const undo: Undo[] = [];
export const types = () => tracked.map(([type]) => type);
/** What they have said since this was last asked. */
export const news = () => tracked.splice(0);

/** Starts captures as the tracking would, with times and addresses that stand still until a test moves them. */
export const start = (names: CaptureName[], options: Partial<Options> = {}) => {
  const navigation = followNavigation(options);
  undo.push(navigation.stop);
  const track = (type: string, fields: Fields = {}) => {
    tracked.push([type, JSON.parse(JSON.stringify(fields))]);
  };
  const page = { track, navigation, options } as unknown as Parameters<Capture>[0];
  for (const name of names) undo.push(safely(captures[name])(page) ?? (() => {}));
};

export const page = (html: string) => {
  document.body.innerHTML = html;
};

/** An event that carries what a real one would. */
export const fire = (target: EventTarget | null, type: string, more = {}) => {
  const Kind = /click$/.test(type) ? MouseEvent : Event;
  const event = new Kind(type, { bubbles: true, cancelable: true, composed: true });
  for (const [name, value] of Object.entries({ timeStamp: performance.now(), ...more })) {
    Object.defineProperty(event, name, { value });
  }
  target?.dispatchEvent(event);
};

/** A click with a pointer. */
export const click = (selector: string, more = {}) =>
  fire(document.querySelector(selector), 'click', { detail: 1, ...more });

export const visibility = (state: 'visible' | 'hidden') => {
  Object.defineProperty(document, 'visibilityState', { value: state, configurable: true });
  Object.defineProperty(document, 'hidden', { value: state === 'hidden', configurable: true });
  fire(document, 'visibilitychange');
};

beforeEach(() => {
  vi.useFakeTimers({ now: 1_767_225_600_000 });
  tracked.length = 0;
  document.title = 'Start';
  history.replaceState({}, '', '/start');
});
afterEach(() => {
  visibility('visible');
  for (const stop of undo.splice(0)) stop();
  hideParams();
  vi.useRealTimers();
});
