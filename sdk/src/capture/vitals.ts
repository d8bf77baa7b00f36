import { inOneGo, listen } from '../listen.js';
import { navigationTiming } from '../timing.js';
import type { Capture } from '../tracking.js';
import { uuid } from '../uuid.js';
import { interactions } from '../vitals/interactions.js';
import { paints } from '../vitals/paints.js';
import { shifts } from '../vitals/shifts.js';
import { startVisit, type Vital } from '../vitals/visit.js';

/** Up to the first it is good, above the second poor. */
const LIMITS = { LCP: [2500, 4000], CLS: [0.1, 0.25], INP: [200, 500], FCP: [1800, 3000], TTFB: [800, 1800] };

/**
 * `web_vital`: how a visit of this document felt, by the definitions of the web-vitals package. FCP, TTFB and LCP are told
 * once they are known, CLS and INP when the page is hidden, and again when they have changed by the next time. A page that
 * comes back from the back/forward cache is visited anew.
 */
export const vitals: Capture = ({ track }) => {
  const { responseStart = 0, activationStart = 0, type = '', name } = navigationTiming();

  const start = (again: boolean, asked: number, navigation_type: string) => {
    const told: Partial<Record<Vital, number>> = {};
    const page_url = (!again && name) || location.href;
    const visit_id = uuid();
    const tell = (vital: Vital, exact: number) => {
      const value = Math.round(exact * 1e4) / 1e4;
      if (value === told[vital] || (vital === 'CLS' && told.FCP === undefined)) return; // nothing painted, nothing shifted
      told[vital] = value;
      const [good, poor] = LIMITS[vital];
      const rating = value > poor ? 'poor' : value > good ? 'needs-improvement' : 'good';
      track('web_vital', { event_name: vital, page_url, properties: { value, rating, navigation_type, visit_id } });
    };
    const visit = startVisit(again, asked, tell);
    const loaded = () => {
      // Some browsers keep the time of the first byte back, or talk nonsense.
      if (responseStart > 0 && responseStart < performance.now()) {
        tell('TTFB', again ? 0 : Math.max(responseStart - asked, 0));
      }
    };
    if (document.readyState === 'complete') loaded();
    else visit.undo.push(listen('load', loaded)); // an event costs the page less when it stands
    paints(visit);
    shifts(visit);
    interactions(visit);
    return inOneGo(visit.undo);
  };

  let stop = start(false, activationStart, activationStart ? 'prerender' : type.replace('_', '-'));
  const undo = listen<PageTransitionEvent>('pageshow', ({ persisted, timeStamp }) => {
    if (!persisted) return;
    stop();
    stop = start(true, timeStamp, 'back-forward-cache');
  });
  return inOneGo([undo, () => stop()]);
};
