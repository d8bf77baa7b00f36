import { beforeEach, expect, test, vi } from 'vitest';
import { type Entry, MOST_EVENTS, openQueue } from '../src/queue.js';
import { openStore } from '../src/store.js';
import { uuid } from '../src/uuid.js';

const all = {};
const day = 24 * 60 * 60 * 1000;

let dropped: string[];
const open = (key = 'wk_1') => openQueue(openStore(), key, (body, why) => dropped.push(`${body}: ${why}`));
const bodies = (entries: Entry[]) => entries.map((entry) => entry.body);

beforeEach(() => {
  localStorage.clear();
  dropped = [];
});

test('what was added is taken in order, stays until removed, and outlives the page', () => {
  for (const body of ['a', 'b', 'c']) open().add(body);
  const queue = open();
  expect(bodies(queue.take(2, 1000, all))).toEqual(['a', 'b']);
  expect(queue.length()).toBe(3);
  for (const { key } of queue.take(2, 1000, all)) queue.remove(key);
  expect(bodies(open().take(10, 1000, all))).toEqual(['c']);
});

test('the order is that of the events, not that in which the browser lists its storage', () => {
  const ids = [uuid(), uuid(), uuid()];
  for (const i of [2, 0, 1]) localStorage.setItem(`md.q.wk_1.${ids[i]}`, `${i}`);
  expect(bodies(open().take(10, 1000, all))).toEqual(['0', '1', '2']);
});

test('a batch stays below its bytes, but a first event that is larger goes alone', () => {
  const queue = open();
  for (const body of ['买'.repeat(20), 'b', 'c']) queue.add(body);
  expect(bodies(queue.take(10, 30, all))).toEqual(['买'.repeat(20)]);
  expect(queue.take(10, 64, all)).toHaveLength(2);
});

test('what is in a request already is not taken again', () => {
  const queue = open();
  const key = queue.add('a');
  queue.add('b');
  expect(bodies(queue.take(10, 1000, { [key]: true }))).toEqual(['b']);
});

test('the oldest make room when there are too many, and are told', () => {
  const queue = open();
  for (let i = 0; i < MOST_EVENTS + 2; i++) queue.add(`${i}`);
  expect(queue.length()).toBe(MOST_EVENTS);
  expect(dropped).toEqual(['0: full', '1: full']);
  expect(bodies(queue.take(1, 1000, all))).toEqual(['2']);
});

test('what is older than seven days goes', () => {
  const old = uuid(Date.now() - 7 * day - 1000);
  localStorage.setItem(`md.q.wk_1.${old}`, 'mine');
  localStorage.setItem(`md.q.wk_1.${uuid(Date.now() - 6 * day)}`, 'young');
  expect(open().length()).toBe(1);
  expect(dropped).toEqual(['mine: expired']);
  expect(localStorage.length).toBe(1);
});

test('events for another write key are not ours', () => {
  open('wk_2').add('theirs');
  open('wk_1').add('ours');
  expect(bodies(open('wk_1').take(10, 1000, all))).toEqual(['ours']);
  expect(bodies(open('wk_2').take(10, 1000, all))).toEqual(['theirs']);
});

test('adding does not look through the store each time', () => {
  const store = openStore();
  const keys = vi.spyOn(store, 'keys');
  const queue = openQueue(store, 'wk_1', () => {});
  for (let i = 0; i < 100; i++) queue.add('x');
  expect(keys).not.toHaveBeenCalled();
});
