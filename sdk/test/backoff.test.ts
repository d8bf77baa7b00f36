import { afterEach, expect, test, vi } from 'vitest';
import { backoff, LONGEST_WAIT, retryAfter } from '../src/backoff.js';

afterEach(() => {
  vi.useRealTimers();
});

test('each failure doubles the wait, up to 30 minutes, and no two wait alike', () => {
  for (let failures = 0; failures < 40; failures++) {
    const longest = Math.min(1000 * 2 ** failures, 30 * 60 * 1000);
    const waits = Array.from({ length: 50 }, () => backoff(failures));
    expect(Math.min(...waits)).toBeGreaterThanOrEqual(longest / 2);
    expect(Math.max(...waits)).toBeLessThanOrEqual(longest);
    expect(new Set(waits).size).toBeGreaterThan(40);
  }
});

test('the server’s wish is kept, within reason', () => {
  for (const asked of [5000, 7_200_000]) {
    const wait = backoff(0, asked);
    expect(wait).toBeGreaterThanOrEqual(asked);
    expect(wait).toBeLessThanOrEqual(asked * 1.1);
  }
  expect(backoff(0, Number.MAX_VALUE)).toBe(LONGEST_WAIT);
});

test.each([
  [null, 0],
  ['', 0],
  ['3', 3000],
  ['0.5', 500],
  ['-1', 0],
  ['soon', 0],
  ['Thu, 01 Jan 2026 00:00:10 GMT', 10_000],
  ['Wed, 31 Dec 2025 23:59:00 GMT', 0],
])('Retry-After: %s is %s ms', (header, want) => {
  vi.setSystemTime('2026-01-01T00:00:00Z');
  expect(retryAfter(header)).toBe(want);
});
