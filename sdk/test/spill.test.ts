import 'fake-indexeddb/auto';
import { IDBFactory } from 'fake-indexeddb';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { BUDGET } from '../src/feature/spill.js';
import { forceFlush, getQueueLength, initTracking, optOut, shutdown, trackEvent } from '../src/index.js';
import { fakeCollector } from './collector.js';

let collector: ReturnType<typeof fakeCollector>;

const start = () => initTracking({ apiKey: 'wk_1', apiUrl: 'https://c.example', autoTrack: false, batchSize: 1000 });
const types = () => [...collector.stored.values()].map(({ event_type }) => event_type);

let isFull: boolean;

/** A localStorage that, once it is full, changes what is there only to something as long. */
const openDisk = () => {
  const methods = {
    getItem: (key: string) => disk[key] ?? null,
    setItem: (key: string, value: string) => {
      if (isFull && !(disk[key]?.length >= value.length)) throw new DOMException('full', 'QuotaExceededError');
      disk[key] = value;
    },
    removeItem: (key: string) => delete disk[key],
  };
  const disk: Record<string, string> = Object.create(methods as object);
  return disk;
};
const full = () => {
  isFull = true;
};
/** The database, asked as another page would ask it. */
const database = () =>
  new Promise<string[]>((done, fail) => {
    const request = indexedDB.open('maidian');
    request.onerror = fail;
    request.onsuccess = () => {
      const { result } = request;
      const all = result.objectStoreNames.length && result.transaction('queue').objectStore('queue').getAll();
      if (all) all.onsuccess = () => done(all.result.map(({ body }) => JSON.parse(body).event_type));
      else done([]);
    };
  });

beforeEach(() => {
  isFull = false;
  vi.stubGlobal('localStorage', openDisk());
  vi.stubGlobal('indexedDB', new IDBFactory());
  collector = fakeCollector();
});
afterEach(() => {
  shutdown();
  vi.unstubAllGlobals();
});

test('what localStorage has no room for outlives the page, arrives, and is forgotten once counted', async () => {
  start();
  full();
  trackEvent('a');
  trackEvent('b');
  await vi.waitFor(async () => expect(await database()).toEqual(['a', 'b']));
  shutdown();
  start(); // the next page: it begins with what is in the database
  await vi.waitFor(() => expect(types()).toEqual(['a', 'b']));
  await vi.waitFor(async () => expect(await database()).toEqual([]));
  expect(getQueueLength()).toBe(0);
});

test('the queue leaves the page most of its storage', async () => {
  start();
  const large = { text: 'x'.repeat(60_000) };
  const many = Math.ceil(BUDGET / 60_000) + 3;
  for (let i = 0; i < many; i++) trackEvent(`e${i}`, large);
  const taken = Object.entries(localStorage).reduce((sum, [, value]) => sum + value.length, 0);
  expect(taken).toBeLessThanOrEqual(BUDGET + 1000);
  expect(getQueueLength()).toBe(many);
  await vi.waitFor(async () => expect((await database()).length).toBeGreaterThanOrEqual(3));
  expect(await forceFlush()).toBe(true);
  expect(new Set(types()).size).toBe(many);
});

test('what another tab has sent is not sent again', async () => {
  start();
  full();
  trackEvent('a');
  await vi.waitFor(async () => expect(await database()).toEqual(['a']));
  const request = indexedDB.open('maidian');
  await new Promise((done) => {
    request.onsuccess = done;
  });
  const other = request.result.transaction('queue', 'readwrite');
  other.objectStore('queue').clear();
  await new Promise((done) => {
    other.oncomplete = done;
  });
  expect(await forceFlush()).toBe(true);
  expect(collector.requests).toHaveLength(0);
});

test('a no clears the database too', async () => {
  start();
  full();
  trackEvent('a');
  await vi.waitFor(async () => expect(await database()).toEqual(['a']));
  optOut();
  await vi.waitFor(async () => expect(await database()).toEqual([]));
});

test('a browser whose storage has room is left without a database', async () => {
  const open = vi.spyOn(indexedDB, 'open');
  start();
  trackEvent('a');
  expect(await forceFlush()).toBe(true);
  expect(open).not.toHaveBeenCalled();
});

test('a database that never answers does not keep events from being sent', async () => {
  vi.useFakeTimers();
  vi.stubGlobal('indexedDB', { open: () => ({}) });
  try {
    start();
    full();
    trackEvent('a');
    const flushed = forceFlush();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(await flushed).toBe(true);
  } finally {
    vi.useRealTimers();
  }
  expect(types()).toEqual(['a']);
});

test.each([
  ['is missing', undefined],
  [
    'throws',
    {
      open: () => {
        throw new DOMException('denied', 'SecurityError');
      },
    },
  ],
])('a database that %s costs nothing while the page lives', async (_, broken) => {
  start();
  vi.stubGlobal('indexedDB', broken);
  full();
  trackEvent('a');
  expect(await forceFlush()).toBe(true);
  expect(types()).toEqual(['a']);
});
