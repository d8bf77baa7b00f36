import { listen } from '../listen.js';
import { safely } from '../safely.js';
import type { Visit, Vital } from './visit.js';

/** First Contentful Paint, and the Largest until the visitor does something or the page is hidden. */
export const paints = ({ again, asked, tell, hear, inSight, atEnd, undo }: Visit): void => {
  let largest = -1;
  let ended = false;
  const end = () => {
    if (!ended && largest >= 0) tell('LCP', largest);
    ended = true;
  };
  const watch = (vital: Vital, type: string, painted: (after: number) => void) => {
    const known = hear(type, ({ name, startTime }) => {
      if (!again && name !== 'first-paint' && inSight(startTime)) painted(Math.max(startTime - asked, 0));
    });
    const shown = safely(() => tell(vital, performance.now() - asked));
    if (known && again) requestAnimationFrame(() => requestAnimationFrame(shown)); // the page that came back is painted
  };
  watch('FCP', 'paint', (after) => tell('FCP', after));
  watch('LCP', 'largest-contentful-paint', (after) => {
    largest = after;
  });

  atEnd.push(end);
  for (const type of ['keydown', 'click']) {
    undo.push(listen(type, ({ isTrusted }) => isTrusted && setTimeout(end))); // not in the way of the page's answer
  }
};
