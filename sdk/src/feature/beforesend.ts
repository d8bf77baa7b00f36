import { say } from '../safely.js';
import type { Feature, Fields } from '../tracking.js';

/** `beforeSend` may change an event or, with null, drop it. It works on a copy: what it breaks half-way is not lost. */
export const beforeSend: Feature = ({ options: { beforeSend: change }, steps }) => {
  if (!change) return;
  steps.push((event) => {
    try {
      const copy: Fields = { ...event, properties: { ...event.properties } };
      const changed = change(copy);
      return changed === undefined ? copy : changed;
    } catch (error) {
      say(error);
      return event;
    }
  });
};
