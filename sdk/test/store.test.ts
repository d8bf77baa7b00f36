import { beforeEach, expect, test, vi } from 'vitest';
import { openStore } from '../src/store.js';

beforeEach(() => localStorage.clear());

test('what one tab writes, another reads', () => {
  openStore().set('md.a', '1');
  expect(openStore().get('md.a')).toBe('1');
  expect(openStore().keys()).toEqual(['md.a']);
});

test('a browser that refuses any storage gets the page’s memory', () => {
  const blocked = vi.spyOn(window, 'localStorage', 'get').mockImplementation(() => {
    throw new DOMException('denied', 'SecurityError');
  });
  const store = openStore();
  blocked.mockRestore();
  store.set('md.a', '1');
  expect(store.get('md.a')).toBe('1');
  expect(store.keys()).toEqual(['md.a']);
  store.remove('md.a');
  expect(store.get('md.a')).toBeNull();
});

test('a full disk keeps what fits in memory, and is used again once there is room', () => {
  let full = true;
  const disk = new Map<string, string>();
  const fake = {
    getItem: (key: string) => disk.get(key) ?? null,
    setItem: (key: string, value: string) => {
      if (full) throw new DOMException('full', 'QuotaExceededError');
      disk.set(key, value);
    },
    removeItem: (key: string) => disk.delete(key),
  } as unknown as Storage;
  const store = openStore();
  store.disk = fake;
  store.set('md.a', '1');
  expect([store.get('md.a'), disk.size]).toEqual(['1', 0]);
  full = false;
  store.set('md.a', '2');
  expect([store.get('md.a'), disk.get('md.a')]).toEqual(['2', '2']);
});
