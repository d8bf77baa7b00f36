import type { Feature } from '../tracking.js';

/**
 * For browsers whose fetch does not outlive the page: what goes out as the page is left goes as a beacon. Nobody hears
 * an answer to that, so the events stay where they are and are sent again; the collector knows their ids.
 */
export const beacon: Feature = (tracking) => {
  const { post, url } = tracking;
  if ('keepalive' in Request.prototype) return;
  tracking.post = async (body, keepalive, leaving, headers) => {
    if (leaving && navigator.sendBeacon && navigator.sendBeacon(url, body as string)) return { status: 0 };
    return await post(body, keepalive, leaving, headers);
  };
};
