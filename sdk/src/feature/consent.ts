import { withTracking } from '../core.js';
import { each } from '../each.js';
import { listen } from '../listen.js';
import type { Feature } from '../tracking.js';

/** Whether the visitor lets us track: yes; no; or not asked yet: then events wait in the page's memory. */
export type Consent = 'granted' | 'denied' | 'pending';

const DECISION = 'md.consent';
const OURS = /^md\.(anon|user|session|campaign|more|since|seq|lost|hold|sent|spill|q)\b/;

/** Do Not Track and Global Privacy Control, by which a browser says no for its user. */
const browserSaysNo = () => {
  const { doNotTrack, globalPrivacyControl } = navigator as Navigator & { globalPrivacyControl?: boolean };
  return doNotTrack === '1' || !!globalPrivacyControl;
};

/** Tracks from now on, on later visits too; what has waited for that goes out. */
export const optIn = (): void => withTracking(({ decide }) => decide && decide('granted'));

/** Tracks nothing from now on, on later visits neither, and forgets what was kept and has not been sent. */
export const optOut = (): void => withTracking(({ decide }) => decide && decide('denied'));

/** Keeps to what the visitor decided, and before that to the option `consent`; whatever either says, to the browser's no. */
export const consent: Feature = (tracking) => {
  const { options, steps, store, ready } = tracking;
  const { disk } = store;
  const refused = options.respectDnt !== false && browserSaysNo();
  const decided = (decision: unknown) => (refused ? 'denied' : decision) as Consent;
  let state = decided(store.get(DECISION) || options.consent || 'granted');

  const apply = () => {
    store.disk = disk;
    if (state === 'denied') each(store.keys(), (key) => OURS.test(key) && store.remove(key));
    if (state === 'granted') each(Object.keys(store.memory), (key) => store.set(key, store.memory[key]));
    else store.disk = undefined;
  };
  const become = (decision: unknown) => {
    state = decided(decision);
    apply();
    tracking.forceFlush();
  };

  tracking.ready = () => state === 'granted' && ready();
  tracking.decide = (decision) => {
    store.disk = disk;
    store.set(DECISION, decision);
    become(decision);
  };
  tracking.hasOptedOut = () => state === 'denied';
  steps.push((event) => (state === 'denied' ? null : event));
  apply();
  return listen<StorageEvent>('storage', ({ key, newValue }) => {
    if (key === DECISION && newValue) become(newValue); // in another tab
  });
};
