import { beforeEach, expect, test } from 'vitest';
import { openLedger } from '../src/ledger.js';
import { openStore } from '../src/store.js';

const open = (key = 'wk_1') => openLedger(openStore(), key);

beforeEach(() => localStorage.clear());

test('events are numbered from 1, in all tabs and visits together, for each write key by itself', () => {
  const [one, two] = [open(), open()];
  const numbers = [one, two, two, open(), open('wk_2')].map((ledger) => ledger.stamp('dev').$sequence);
  expect(numbers).toEqual([1, 2, 3, 4, 1]);
});

test('another device begins again', () => {
  const ledger = open();
  expect(['a', 'a', 'b', 'b'].map((device) => ledger.stamp(device).$sequence)).toEqual([1, 2, 1, 2]);
});

test('what was given up is reported once, by the next event of any tab', () => {
  open().lost('{}', 'full');
  open().lost('{}', 'full');
  open().lost('{}', 'too_large');
  expect(open().stamp('dev').$dropped).toEqual({ full: 2, too_large: 1 });
  expect(open().stamp('dev')).toEqual({ $sequence: 2 });
});

test('a report that is given up itself, or refused, is handed on to the next one', () => {
  const body = (dropped: object) => JSON.stringify({ properties: { $dropped: dropped } });
  open().lost(body({ full: 3, expired: 1 }), 'expired');
  open().lost(body({ full: 1 })); // refused: the answer said so, only its report is lost
  expect(open().stamp('dev').$dropped).toEqual({ full: 4, expired: 2 });
});

test('a refused event that had nothing to report leaves nothing to report', () => {
  open().lost('{"properties":{"$sequence":1}}');
  expect(open().stamp('dev')).toEqual({ $sequence: 1 });
});

test.each(['', 'x', '{"a":', 'dev NaN', 'dev -'])('garbage in the store (%s) costs no event its number', (garbage) => {
  localStorage.setItem('md.seq.wk_1', garbage);
  localStorage.setItem('md.lost.wk_1', garbage);
  open().lost(garbage, 'expired');
  expect(open().stamp('dev')).toEqual({ $sequence: 1, $dropped: { expired: 1 } });
});
