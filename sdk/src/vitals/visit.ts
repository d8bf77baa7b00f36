import { onHidden, type Undo } from '../listen.js';
import { safely } from '../safely.js';

export type Vital = 'LCP' | 'CLS' | 'INP' | 'FCP' | 'TTFB';
export type Tell = (vital: Vital, value: number) => void;

export interface Entry extends PerformanceEntry {
  value: number;
  hadRecentInput: boolean;
  interactionId: number;
}

/** The document from when it was loaded, or came back from the back/forward cache, until it is left. */
export interface Visit {
  /** Whether it came back. */
  again: boolean;
  /** When it was asked for, by `performance.now`; if it was prepared in advance, when it was shown. */
  asked: number;
  tell: Tell;
  /** Hears entries of a type, also those of before this script; false where the browser has none. */
  hear(type: string, hear: (entry: Entry) => void): boolean;
  /** Whether the page had not been hidden by then. */
  inSight(time: number): boolean;
  /** Called back each time the page is hidden: what is known by then counts. */
  atEnd: (() => void)[];
  undo: Undo[];
}

const LONG = 40; // milliseconds: shorter interactions are not worth being woken for

export const startVisit = (again: boolean, asked: number, tell: Tell): Visit => {
  const before = performance
    .getEntriesByType('visibility-state')
    .find(({ name, startTime }) => name === 'hidden' && startTime >= asked);
  let hiddenAt = before ? before.startTime : document.hidden ? 0 : Infinity;
  const atEnd: Visit['atEnd'] = [];
  const undo = [
    onHidden(() => {
      hiddenAt = Math.min(hiddenAt, performance.now());
      for (const end of atEnd) end();
    }),
  ];
  return {
    again,
    asked,
    tell,
    hear: (type, hear) => {
      const heard = safely((entries: PerformanceEntryList) => {
        for (const entry of entries) hear(entry as Entry);
      });
      const observer = new PerformanceObserver((list) => heard(list.getEntries()));
      if (!PerformanceObserver.supportedEntryTypes.includes(type)) return false;
      observer.observe({ type, buffered: !again, durationThreshold: LONG } as PerformanceObserverInit);
      atEnd.push(() => heard(observer.takeRecords()));
      undo.push(() => observer.disconnect());
      return true;
    },
    inSight: (time) => time < hiddenAt,
    atEnd,
    undo,
  };
};
