import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { NETWORK, openHold, SERVER } from '../src/hold.js';
import { openStore } from '../src/store.js';

const tab = (name: string) => openHold(openStore(), 'md.hold', name);
const hour = 60 * 60 * 1000;

beforeEach(() => {
  localStorage.clear();
  vi.useFakeTimers({ now: 1_767_225_600_000 });
});
afterEach(() => {
  vi.useRealTimers();
});

test('one tab sends at a time', () => {
  expect(tab('a').take()).toBe(true);
  expect(tab('b').take()).toBe(false);
  expect(tab('a').take()).toBe(true);
  tab('a').release();
  expect(tab('b').take()).toBe(true);
});

test('a tab that vanished while sending is waited for only as long as a request may take', () => {
  tab('gone').take();
  vi.advanceTimersByTime(tab('b').remaining());
  expect(tab('b').take()).toBe(true);
});

test('a pause that the server asked for holds in all tabs, and is never cut short', () => {
  tab('a').take();
  const wait = tab('a').wait(SERVER, 60_000);
  expect(wait).toBeGreaterThanOrEqual(60_000);
  vi.advanceTimersByTime(59_000);
  expect([tab('a').take(), tab('b').take()]).toEqual([false, false]);
  vi.advanceTimersByTime(wait);
  expect(tab('b').take()).toBe(true);
});

test('waits grow with each failure, differ by chance, and end at half an hour', () => {
  const waits = Array.from({ length: 20 }, () => tab('a').wait(SERVER));
  waits.forEach((wait, i) => {
    const full = Math.min(1000 * 2 ** i, hour / 2);
    expect(wait).toBeGreaterThanOrEqual(full / 2);
    expect(wait).toBeLessThanOrEqual(full);
  });
});

test('a success makes the next wait short again', () => {
  for (let i = 0; i < 10; i++) tab('a').wait(NETWORK);
  vi.advanceTimersByTime(hour);
  expect(tab('a').take()).toBe(true);
  tab('a').release();
  expect(tab('a').wait(NETWORK)).toBeLessThanOrEqual(1000);
});

test('the network’s return ends a wait for the network, not one for the server', () => {
  tab('a').wait(SERVER, hour);
  tab('a').end(NETWORK);
  expect(tab('a').cause()).toBe(SERVER);
  tab('a').end(SERVER);
  tab('a').wait(NETWORK);
  tab('b').end(NETWORK);
  expect(tab('a').remaining()).toBe(0);
});

test('a time that a wrong clock wrote far ahead is no reason to wait', () => {
  localStorage.setItem('md.hold', `${SERVER} ${Date.now() + 400 * 24 * hour} 3`);
  expect(tab('a').take()).toBe(true);
});
