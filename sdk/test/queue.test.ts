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

test('what was taken to be sent stays when there are too many, in all tabs and later pages: it may be stored', () => {
  const queue = open();
  for (let i = 0; i < MOST_EVENTS; i++) queue.add(`${i}`);
  queue.take(3, 1000, all);
  queue.add('new');
  expect(dropped).toEqual(['3: full']);
  const later = open();
  expect(later.length()).toBe(MOST_EVENTS);
  later.add('newer');
  expect(dropped).toEqual(['3: full', '4: full']);
  expect(bodies(later.take(4, 1000, all))).toEqual(['0', '1', '2', '5']);
});

test('where all were sent, the new event is the one that goes, also when the clock was put back', () => {
  const queue = open();
  for (let i = 0; i < MOST_EVENTS; i++) queue.add(`${i}`);
  queue.take(MOST_EVENTS, 1e6, all);
  queue.add('new');
  vi.useFakeTimers({ now: Date.now() - day });
  queue.add('from yesterday');
  vi.useRealTimers();
  expect(dropped).toEqual(['new: full', 'from yesterday: full']);
  expect(queue.length()).toBe(MOST_EVENTS);
});

test('what was sent does not grow too old: only an answer can tell what became of it', () => {
  const [first, second] = [8, 7.5].map((days) => `md.q.wk_1.${uuid(Date.now() - days * day)}`);
  localStorage.setItem(first, 'sent');
  localStorage.setItem(second, 'never sent');
  localStorage.setItem('md.sent.wk_1', first);
  expect(open().length()).toBe(1);
  expect(dropped).toEqual(['never sent: expired']);
  open().remove(first);
  expect(open().length()).toBe(0);
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
