import { each } from './each.js';
import type { Answer } from './transport.js';

export interface Verdict {
  /** All of the batch is settled and leaves the queue; otherwise only what was refused. */
  all: boolean;
  /** Why events, by their position in the batch, will never be stored. */
  refused: Record<number, string>;
  /** go on; cut the next batch in half; or wait before anything else is sent. */
  next: 'go' | 'halve' | 'wait';
}

/**
 * What an answer means for a batch of `n` events. Only what the answer counted or named is settled. 400 and 413 are
 * about what was sent: without a word about which event is meant, halving narrows it down, until the batch is the one
 * event meant. All other statuses are about the moment, or about a key or an address that can still be put right.
 */
export const judge = ({ status, counts }: Answer, n: number): Verdict => {
  const refused: Record<number, string> = {};
  const content = status === 400 || status === 413;
  const { accepted = 0, rejected = 0, errors } = counts || {};
  const all = (content || status === 200) && accepted + rejected === n;
  let next: Verdict['next'] = all || (content && n < 2) ? 'go' : content ? 'halve' : 'wait';
  if (!all && next === 'go') refused[0] = `status ${status}`;
  if (next !== 'wait') {
    each(errors || [], (error) => {
      if (!(error && error.index === error.index >>> 0 && error.index < n)) return; // names none of these
      refused[error.index] = `${error.field || ''} ${error.message || error.code}`;
      next = 'go';
    });
  }
  return { all, refused, next };
};
