import type { Visit } from './visit.js';

/** Cumulative Layout Shift: the worst group of shifts, each less than 1 s after the last and less than 5 s after the first. */
export const shifts = ({ tell, hear, atEnd }: Visit): void => {
  let worst = 0;
  let group = 0;
  let first = 0;
  let last = -Infinity;
  const known = hear('layout-shift', ({ hadRecentInput, startTime, value }) => {
    if (hadRecentInput) return;
    if (startTime - last >= 1000 || startTime - first >= 5000) {
      group = 0;
      first = startTime;
    }
    last = startTime;
    group += value;
    worst = Math.max(worst, group);
  });
  if (known) atEnd.push(() => tell('CLS', worst));
};
