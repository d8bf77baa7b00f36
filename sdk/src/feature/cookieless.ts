import type { Feature } from '../tracking.js';

/** `cookieless` keeps nothing on the device: ids and what waits live as long as the page. Stands before all that store. */
export const cookieless: Feature = ({ options, store }) => {
  if (options.cookieless) store.disk = undefined;
};
