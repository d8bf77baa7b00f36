import { clickFields, isPlain, onClick } from '../click.js';
import type { Capture } from '../tracking.js';

const CLICKS = 3;
const APART = 1000; // milliseconds between two of them
const AROUND = 30; // px

/** `rage_click`: the third click in quick succession at about the same place; once, however many follow. */
export const rageClicks: Capture = ({ track }) => {
  let last: MouseEvent | undefined;
  let count = 0;
  return onClick((element, event, target) => {
    if (!isPlain(event, target)) return;
    const again =
      last &&
      event.timeStamp - last.timeStamp < APART &&
      Math.hypot(event.clientX - last.clientX, event.clientY - last.clientY) <= AROUND;
    last = event;
    count = again ? count + 1 : 1;
    if (count === CLICKS) track('rage_click', clickFields(element, event));
  });
};
