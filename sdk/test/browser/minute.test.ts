import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  eventually,
  openBrowser,
  ownPath,
  type StoredEvent,
  scriptTag,
  startProxy,
  startSite,
  stored,
} from './harness.js';

type Maidian = typeof import('../../src/index.js');
declare const maidian: Maidian;

/**
 * Troubles that last a minute. The page's clock and timers are Playwright's, put forward step by step, and after each
 * step the page gets time for the answers to what it sent: a minute's behaviour in a few seconds.
 */
const SECOND = 1000;
const STEP = 2; // seconds

let browser: Browser;
let proxy: Awaited<ReturnType<typeof startProxy>>;
let site: Awaited<ReturnType<typeof startSite>>;
let context: BrowserContext;
let path: string;
let head: string;
let errors: string[];

const open = async (): Promise<Page> => {
  const page = await context.newPage();
  page.on('pageerror', (error) => errors.push(error.message));
  await page.goto(`${site.url}${path}`);
  return page;
};
const track = (page: Page, from: number, to: number) =>
  page.evaluate(
    ([a, b]) => {
      for (let n = a; n < b; n++) maidian.trackEvent('numbered', { n });
    },
    [from, to],
  );
const waiting = (page: Page) => page.evaluate(() => maidian.getQueueLength());
/** Lets so many seconds go by for the page; says after which of them it had sent something. */
const pass = async (page: Page, seconds: number): Promise<number[]> => {
  const sent: number[] = [];
  for (let second = STEP; second <= seconds; second += STEP) {
    const before = proxy.batches.length;
    await page.clock.runFor(STEP * SECOND);
    await page.evaluate(() => fetch('?').then((answer) => answer.text())).catch(() => {}); // no network: no answer to wait for
    if (proxy.batches.length > before) sent.push(second);
  }
  return sent;
};
/** Exactly these, each once and in order, and the page has nothing left. */
const arrive = async (page: Page, n: number): Promise<StoredEvent[]> => {
  await eventually(
    async () => {
      await page.clock.runFor(STEP * SECOND);
      return waiting(page);
    },
    (left) => expect(left).toBe(0),
  );
  const all = Array.from({ length: n }, (_, i) => i);
  const numbered = async () => (await stored(path)).filter((event) => event.event_type === 'numbered');
  return eventually(numbered, (events) => expect(events.map(({ properties }) => properties.n)).toEqual(all));
};

beforeAll(async () => {
  browser = await openBrowser();
});
afterAll(async () => {
  await browser?.close();
});
beforeEach(async () => {
  proxy = await startProxy();
  head = '';
  const options = 'data-auto-track="false" data-flush-interval="2000"';
  site = await startSite(() => `<!doctype html>${head}${scriptTag(proxy.url, options)}`);
  context = await browser.newContext();
  path = ownPath();
  errors = [];
});
afterEach(async () => {
  await context.close();
  await site.stop();
  await proxy.stop();
  expect(errors).toEqual([]);
});

describe('for a minute', () => {
  beforeEach(() => context.clock.install());

  test('there is no network: nothing is lost, and it leaves in the second in which the network is back', async () => {
    const page = await open();
    await track(page, 0, 5);
    await context.setOffline(true);
    for (let n = 5; n < 65; n += 10) {
      await track(page, n, n + 10);
      expect(await pass(page, 10)).toEqual([]);
    }
    expect(await waiting(page)).toBe(65);
    await context.setOffline(false);
    await eventually(
      () => proxy.batches.length,
      (batches) => expect(batches).toBe(1),
    );
    const events = await arrive(page, 65);
    expect(events.map(({ properties }) => properties.$sequence)).toEqual(events.map((_, i) => i + 1));
    expect(proxy.batches.map((batch) => batch.events)).toEqual([65]);
  });

  test('the collector answers 503: it is asked again and again, less and less often', async () => {
    proxy.make({ status: 503 });
    const page = await open();
    await track(page, 0, 20);
    const sent = [0, ...(await pass(page, 60))];
    expect(proxy.batches.length).toBeGreaterThanOrEqual(4);
    expect(proxy.batches.length).toBeLessThanOrEqual(9); // waits of 1, 2, 4, 8 … seconds, each shortened by up to a half
    expect(sent.at(-1) as number).toBeGreaterThan(10);
    proxy.make('none');
    await arrive(page, 20);
  });

  test('the collector answers 429 and asks for more than that: it gets it', async () => {
    proxy.make({ status: 429, retryAfter: 150 }); // real time goes by for the page as well
    const page = await open();
    await track(page, 0, 20);
    await eventually(
      () => waiting(page),
      () => expect(proxy.batches).toHaveLength(1),
    );
    await track(page, 20, 60);
    expect(await pass(page, 60)).toEqual([]);
    expect(await waiting(page)).toBe(60);
    proxy.make('none');
    await page.clock.runFor(90 * SECOND);
    await arrive(page, 60);
    expect(proxy.batches.map((batch) => batch.events)).toEqual([20, 60]);
  });

  test('answers do not come back: the next page sends the events again, and each is stored once', async () => {
    proxy.make('lost answer');
    const page = await open();
    await track(page, 0, 20);
    await pass(page, 30);
    await page.close({ runBeforeUnload: true });
    proxy.make('none');
    const next = await open();
    await pass(next, 60);
    await arrive(next, 20);
    expect(proxy.batches.length).toBeGreaterThan(2);
  });
});

test('a tab that is closed while the collector thinks leaves its events to the next one, which makes no second copies', async () => {
  proxy.make('lost answer');
  const page = await open();
  await track(page, 0, 30);
  await eventually(
    () => proxy.batches.length,
    (batches) => expect(batches).toBeGreaterThan(0),
  );
  await page.close();
  proxy.make('none');
  const next = await open();
  await track(next, 30, 35);
  await eventually(
    () => waiting(next),
    (left) => expect(left).toBe(0),
  );
  const numbered = async () => (await stored(path)).filter((event) => event.event_type === 'numbered');
  const events = await eventually(numbered, (seen) => expect(seen).toHaveLength(35));
  expect(events.map(({ properties }) => properties.$sequence)).toEqual(Array.from({ length: 35 }, (_, i) => i + 1));
});

test('a device whose clock is a year fast is put right', async () => {
  head = '<script>{ const now = Date.now; Date.now = () => now() + 365 * 864e5; }</script>';
  const page = await open();
  const began = Date.now();
  await track(page, 0, 3);
  const events = await eventually(
    () => stored(path),
    (seen) => expect(seen).toHaveLength(3),
  );
  for (const event of events) expect(Math.abs(Date.parse(event.timestamp) - began)).toBeLessThan(30_000);
});

test('where every storage throws, the page’s memory takes its place', async () => {
  head = `<script>for (const name of ['localStorage', 'sessionStorage', 'indexedDB']) {
    Object.defineProperty(window, name, { get() { throw new DOMException('no', 'SecurityError'); } });
  }</script>`;
  const page = await open();
  await track(page, 0, 25);
  const events = await eventually(
    () => stored(path),
    (seen) => expect(seen).toHaveLength(25),
  );
  expect(new Set(events.map((event) => `${event.anonymous_id} ${event.session_id}`)).size).toBe(1);
});

test('a page that has overwritten everything before the SDK came goes on without an error', async () => {
  head = `<link rel="icon" href="data:,"><script>
    const angry = function () { throw new Error('mine now'); };
    JSON.stringify = JSON.parse = window.fetch = angry;
    for (const name of ['map', 'filter', 'forEach', 'push', 'join', 'slice', 'sort', 'some', 'concat']) Array.prototype[name] = angry;
    addEventListener('load', () => {
      if (window.maidian) maidian.trackEvent('a');
      document.title = 'goes on';
    });
  </script>`;
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on('console', (message) => complaints.push(message.text()));
  page.on('pageerror', (error) => errors.push(error.message));
  await page.goto(`${site.url}${path}`);
  expect(await page.title()).toBe('goes on');
  expect(complaints).toEqual([]);
});
