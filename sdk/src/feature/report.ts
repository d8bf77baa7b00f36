import { inOneGo } from '../listen.js';
import { errorsTo } from '../safely.js';
import type { Feature } from '../tracking.js';

/** `debug` says in the console what becomes of each event; `onError` hears what went wrong. Needs `watching`. */
export const reporting: Feature = ({ options: { debug, onError }, watch }) => {
  const log = debug ? console.log.bind(console, '[maidian]') : () => {};
  const fail = (...what: unknown[]) => {
    log(...what);
    try {
      if (onError) onError(what[0]);
    } catch {} // whoever hears of errors must not make more of them
  };
  errorsTo(fail);
  return inOneGo([
    watch((fate, [event], why = '') => {
      if (fate === 'rejected' || fate === 'dropped') fail(Error(`${fate} ${event.event_type}: ${why}`), event);
      else log(fate, event.event_type, why);
    }),
    errorsTo,
  ]);
};
