import type { Feature } from '../tracking.js';

/**
 * Larger than what a connection takes in its first round trip (10 segments). A browser asks the collector's permission
 * for Content-Encoding once in a while, which costs a round trip as well; from here on packing saves more than that.
 */
const WORTH_IT = 14_600;

/** Packs large batches, where the browser can. */
export const gzip: Feature = (tracking) => {
  const { post } = tracking;
  let works = typeof CompressionStream === 'function';
  tracking.post = async (body, keepalive, leaving) => {
    if (!works || leaving || (body as string).length < WORTH_IT) return await post(body, keepalive, leaving);
    const packed = new Blob([body as string]).stream().pipeThrough(new CompressionStream('gzip'));
    const answer = await post(await new Response(packed).blob(), false, leaving, {
      'Content-Type': 'text/plain',
      'Content-Encoding': 'gzip',
    });
    works = !!answer.status && answer.status !== 415; // something on the way may not let it pass
    return answer;
  };
};
