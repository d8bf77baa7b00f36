import type { Answer } from './transport.js';

export interface Verdict {
  /** Positions in the batch that are settled and leave the queue; `refused` of them will never be stored. */
  settled: number[];
  refused: Map<number, string>;
  /** go on; cut the next batch in half; or wait before anything else is sent. */
  next: 'go' | 'halve' | 'wait';
}

const positions = (n: number) => Array.from({ length: n }, (_, i) => i);

/**
 * What an answer means for a batch of `n` events. Only what the answer counted or named is settled. Statuses that are
 * about the moment (or about a key or address that can still be put right) wait; those that are about the content
 * without saying which event is meant are narrowed down by halving, until the batch is the one event meant.
 */
export const judge = ({ status, counts }: Answer, n: number): Verdict => {
  const refused = new Map<number, string>();
  for (const error of Array.isArray(counts?.errors) ? counts.errors : []) {
    if (error?.index >= 0 && error.index < n) {
      refused.set(error.index, [error.field, error.message ?? error.code].filter(Boolean).join(' '));
    }
  }
  const counted = counts && (counts.accepted ?? 0) + (counts.rejected ?? 0) === n;
  if (counted && (status === 200 || status === 400)) return { settled: positions(n), refused, next: 'go' };
  if (![400, 413, 422].includes(status)) return { settled: [], refused: new Map(), next: 'wait' };
  if (refused.size) return { settled: [...refused.keys()], refused, next: 'go' };
  if (n > 1) return { settled: [], refused, next: 'halve' };
  return { settled: [0], refused: refused.set(0, `status ${status}`), next: 'go' };
};
