import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { openHold } from '../src/hold.js';
import { openStore } from '../src/store.js';

const tab = () => openHold(openStore(), 'md.hold');
const hour = 60 * 60 * 1000;

beforeEach(() => {
  localStorage.clear();
  vi.useFakeTimers({ now: 1_767_225_600_000 });
});
afterEach(() => {
  vi.useRealTimers();
});

test('a pause that the server asked for holds in all tabs, and is never cut short', () => {
  const wait = tab().wait(503, 60_000);
  expect(wait).toBeGreaterThanOrEqual(60_000);
  vi.advanceTimersByTime(59_000);
  expect(tab().remaining()).toBeGreaterThan(0);
  vi.advanceTimersByTime(wait);
  expect(tab().remaining()).toBe(0);
});

test('waits grow with each failure, differ by chance, and end at half an hour', () => {
  const waits = Array.from({ length: 20 }, () => tab().wait(503));
  waits.forEach((wait, i) => {
    const full = Math.min(1000 * 2 ** i, hour / 2);
    expect(wait).toBeGreaterThanOrEqual(full / 2);
    expect(wait).toBeLessThanOrEqual(full);
  });
});

test('a success makes the next wait short again', () => {
  for (let i = 0; i < 10; i++) tab().wait(0);
  tab().end();
  expect(tab().remaining()).toBe(0);
  expect(tab().wait(0)).toBeLessThanOrEqual(1000);
});

test('the network’s return ends a wait for the network, not one for the server', () => {
  tab().wait(503, hour);
  tab().end(true);
  expect(tab().remaining()).toBeGreaterThan(0);
  tab().end();
  tab().wait(0);
  tab().end(true);
  expect(tab().remaining()).toBe(0);
});

test.each([
  ['a time that a wrong clock wrote far ahead', `${1_767_225_600_000 + 400 * 24 * hour} 503 3`],
  ['garbage', '{"until":'],
])('%s is no reason to wait', (_, written) => {
  localStorage.setItem('md.hold', written);
  expect(tab().remaining()).toBe(0);
  expect(tab().wait(503)).toBeLessThanOrEqual(8000);
});
