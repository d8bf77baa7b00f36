import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { eventually, openBrowser, ownPath, scriptTag, startProxy, startSite, stored, types } from './harness.js';

type Maidian = typeof import('../../src/index.js');
declare const maidian: Maidian;

let browser: Browser;
let proxy: Awaited<ReturnType<typeof startProxy>>;
let site: Awaited<ReturnType<typeof startSite>>;
let context: BrowserContext;
let path: string;
let errors: string[];
let options: string;
let after: string;

const open = async (): Promise<Page> => {
  const page = await context.newPage();
  page.on('pageerror', (error) => errors.push(error.message));
  await page.goto(`${site.url}${path}`);
  return page;
};
/** Opens a page and waits for the second script, which brings gzip and IndexedDB. */
const openWhole = async (): Promise<Page> => {
  const page = await open();
  await page.waitForFunction(() => 'md.spill' in localStorage);
  return page;
};
const arrived = (n: number) =>
  eventually(
    () => stored(path),
    (seen) => expect(seen).toHaveLength(n),
  );

beforeAll(async () => {
  browser = await openBrowser();
});
afterAll(async () => {
  await browser?.close();
});
beforeEach(async () => {
  proxy = await startProxy();
  options = 'data-auto-track="false" data-flush-interval="600000" data-batch-size="1000"';
  after = '';
  site = await startSite(() => `<!doctype html>${scriptTag(proxy.url, options)}${after}`);
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

test('a large batch crosses origins packed', async () => {
  const page = await openWhole();
  const packed: string[] = [];
  page.on('request', (request) => packed.push(request.headers()['content-encoding'] ?? request.method()));
  const sent = await page.evaluate(() => {
    for (let n = 0; n < 100; n++) maidian.trackEvent('numbered', { n, text: 'words and words '.repeat(20) });
    return maidian.forceFlush();
  });
  expect(sent).toBe(true);
  expect(packed).toContain('gzip');
  await arrived(100);
});

test('events bear their device’s numbers, over pages and tabs', async () => {
  for (let tab = 0; tab < 3; tab++) {
    const page = await open();
    await page.evaluate(() => {
      for (let n = 0; n < 5; n++) maidian.trackEvent('numbered');
      return maidian.forceFlush();
    });
  }
  const numbers = (await arrived(15)).map(({ properties }) => properties.$sequence);
  expect(numbers).toEqual(Array.from({ length: 15 }, (_, i) => i + 1));
});

test('what had to be dropped is told by the next event that arrives', async () => {
  const page = await open();
  await page.evaluate(() => {
    maidian.trackEvent('large', { text: 'x'.repeat(70_000) });
    maidian.trackEvent('next');
    return maidian.forceFlush();
  });
  const [next] = await arrived(1);
  expect(next.properties).toMatchObject({ $sequence: 2, $dropped: { too_large: 1 } });
});

test('a page that overwrites what it can is tracked all the same', async () => {
  after = `<script>
    const angry = function () { throw new Error('mine now'); };
    for (const name of ['map', 'filter', 'forEach', 'push', 'join', 'slice', 'sort', 'indexOf', 'some', 'concat']) Array.prototype[name] = angry;
    JSON.stringify = JSON.parse = angry;
    window.fetch = window.Promise = angry;
    Object.defineProperty(window, 'localStorage', { value: undefined });
    maidian.trackEvent('a'); maidian.trackEvent('b');
    maidian.forceFlush();
  </script>`;
  await open();
  expect(types(await arrived(2))).toEqual(['a', 'b']);
});

/** How many events stand in localStorage and in IndexedDB. */
const kept = () =>
  new Promise<number>((done) => {
    const onDisk = Object.keys(localStorage).filter((key) => key.startsWith('md.q.')).length;
    const opening = indexedDB.open('maidian');
    opening.onsuccess = () => {
      const counting = opening.result.transaction('queue').objectStore('queue').count();
      counting.onsuccess = () => {
        opening.result.close();
        done(onDisk + counting.result);
      };
    };
  });

test('more than localStorage holds waits in IndexedDB, outlives the page, and arrives', async () => {
  proxy.make({ status: 503, retryAfter: 1 });
  const page = await openWhole();
  await page.evaluate(() => {
    for (let n = 0; n < 90; n++) maidian.trackEvent('numbered', { n, text: 'x'.repeat(30_000) });
  });
  const taken = await page.evaluate(() => Object.values(localStorage).reduce((sum, value) => sum + value.length, 0));
  expect(taken).toBeLessThan(2_010_000);
  await eventually(
    () => page.evaluate(async () => (await indexedDB.databases()).length),
    (databases) => expect(databases).toBe(1),
  );
  await eventually(
    () => page.evaluate(kept),
    (events) => expect(events).toBe(90),
  );
  await page.reload();
  proxy.make('none');
  await eventually(
    () => page.evaluate(() => maidian.forceFlush()),
    (sent) => expect(sent).toBe(true),
  );
  const numbers = (await arrived(90)).map(({ properties }) => properties.n);
  expect(new Set(numbers).size).toBe(90);
});

test('without consent nothing is kept and nothing is sent; with it, all that waited', async () => {
  options = 'data-auto-track="false" data-flush-interval="200" data-consent="pending"';
  const page = await open();
  await page.evaluate(() => maidian.trackEvent('before'));
  expect(await page.evaluate(() => [localStorage.length, document.cookie, maidian.getQueueLength()])).toEqual([
    0,
    '',
    1,
  ]);
  expect(proxy.batches).toEqual([]);
  await page.evaluate(() => maidian.optIn());
  expect(types(await arrived(1))).toEqual(['before']);
});
