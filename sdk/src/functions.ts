import { getTracking } from './core.js';

export * from './core.js';
export { type Consent, optIn, optOut } from './feature/consent.js';
export { alias, identify, reset } from './feature/identify.js';
export { register, registerOnce, unregister } from './feature/register.js';
export { timeEvent } from './feature/timing.js';
export type { Watcher } from './feature/watch.js';

/** Whether nothing is tracked here: the visitor or the browser said no. */
export const hasOptedOut = (): boolean => {
  const { hasOptedOut } = getTracking() || {};
  return !!hasOptedOut && hasOptedOut();
};
