import type { Entry, Visit } from './visit.js';

const CANDIDATES = 10;
const QUICK = 8; // milliseconds: what is told of interactions that nobody was woken for

/** Interaction to Next Paint: the slowest interaction, but for one in fifty. */
export const interactions = ({ again, tell, hear, atEnd }: Visit): void => {
  const slowest: { interactionId: number; duration: number }[] = [];
  let heard = 0;
  // A browser that does not count them all is asked for those we heard of: never more, so nothing is told too fast.
  const made = () => (performance as { interactionCount?: number }).interactionCount || heard;
  const before = again ? made() : 0;
  const add = ({ interactionId, duration }: Entry) => {
    if (!interactionId) return;
    const known = slowest.find((interaction) => interaction.interactionId === interactionId);
    if (known) known.duration = Math.max(known.duration, duration);
    else {
      heard++;
      slowest.push({ interactionId, duration });
    }
    slowest.sort((a, b) => b.duration - a.duration).splice(CANDIDATES);
  };
  hear('first-input', add);
  hear('event', add);
  atEnd.push(() => {
    const count = made() - before;
    const slow = slowest[Math.min(slowest.length - 1, Math.floor(count / 50))];
    if (slow) tell('INP', slow.duration);
    else if (again && count) tell('INP', QUICK); // the document's first input was on an earlier visit
  });
};
