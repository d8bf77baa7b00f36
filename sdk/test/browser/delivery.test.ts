import { readFileSync } from 'node:fs';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { eventually, openBrowser, ownPath, scriptTag, startProxy, startSite, stored } from './harness.js';

type Maidian = typeof import('../../src/index.js');
declare const maidian: Maidian;

let browser: Browser;
let proxy: Awaited<ReturnType<typeof startProxy>>;
let site: Awaited<ReturnType<typeof startSite>>;
let context: BrowserContext;
let path: string;
let errors: string[];

/** The snippet that README.md asks people to paste. */
const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
const stub = /<script>\s+window\.maidian.*?<\/script>/s.exec(readme)?.[0] ?? '';

const quick = 'data-auto-track="false" data-flush-interval="200"';
const patient = 'data-auto-track="false" data-flush-interval="600000" data-batch-size="1000"';
let options = quick;
let head = '';

const open = async (at = path): Promise<Page> => {
  const page = await context.newPage();
  page.on('pageerror', (error) => errors.push(error.message));
  await page.goto(`${site.url}${at}`);
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
const numbers = async () =>
  (await stored(path)).filter((e) => e.event_type === 'numbered').map((e) => e.properties.n as number);
const upTo = (n: number) => Array.from({ length: n }, (_, i) => i);
/** Exactly these, each once, whatever was sent how often. */
const arrive = (n: number) => eventually(numbers, (seen) => expect([...seen].sort((a, b) => a - b)).toEqual(upTo(n)));

beforeAll(async () => {
  browser = await openBrowser();
});
afterAll(async () => {
  await browser?.close();
});
beforeEach(async () => {
  proxy = await startProxy();
  options = quick;
  head = '';
  site = await startSite((at) =>
    at.endsWith('/frame')
      ? `<!doctype html><iframe sandbox="allow-scripts" src="${at.slice(0, -6)}"></iframe>`
      : `<!doctype html>${head}${scriptTag(proxy.url, options)}`,
  );
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

test('many events go in few requests, in order', async () => {
  options = 'data-auto-track="false" data-flush-interval="500"';
  const page = await open();
  await track(page, 0, 45);
  await arrive(45);
  expect(proxy.batches.map(({ events }) => events).reduce((a, b) => a + b)).toBe(45);
  expect(proxy.batches.length).toBeLessThanOrEqual(4);
  expect(await numbers()).toEqual(upTo(45));
  await eventually(
    () => waiting(page),
    (left) => expect(left).toBe(0),
  );
});

test('a tab that is closed sends what it has, though nothing was due', async () => {
  options = patient;
  const page = await open();
  await track(page, 0, 30);
  expect(proxy.batches).toEqual([]);
  await page.close({ runBeforeUnload: true });
  await arrive(30);
});

test('a tab that is closed while a batch is on its way loses nothing', async () => {
  const page = await open();
  await track(page, 0, 25);
  await track(page, 25, 30);
  await page.close({ runBeforeUnload: true });
  await arrive(30);
});

test('a collector that is away for a while gets everything afterwards, and is not stormed', async () => {
  proxy.make({ status: 503, retryAfter: 2 });
  const page = await open();
  await track(page, 0, 50);
  await eventually(
    () => proxy.batches.length,
    (sent) => expect(sent).toBeGreaterThan(1),
  );
  expect(await waiting(page)).toBe(50);
  const during = proxy.batches.length;
  proxy.make('none');
  await arrive(50);
  expect(during).toBeLessThan(4);
});

test('what the collector did not take is sent by the next page of the site', async () => {
  proxy.make({ status: 503, retryAfter: 1 });
  const page = await open();
  await track(page, 0, 10);
  await eventually(
    () => proxy.batches.length,
    (sent) => expect(sent).toBeGreaterThan(0),
  );
  await page.close();
  proxy.make('none');
  await open(`${path}/later`);
  await arrive(10);
});

test('an answer that gets lost makes no second copy', async () => {
  proxy.make('lost answer');
  const page = await open();
  await track(page, 0, 10);
  await eventually(
    () => proxy.batches.length,
    (sent) => expect(sent).toBeGreaterThan(1),
  );
  expect(await waiting(page)).toBe(10);
  proxy.make('none');
  await eventually(
    () => waiting(page),
    (left) => expect(left).toBe(0),
  );
  await arrive(10);
});

test('a connection that breaks is tried again', async () => {
  proxy.make('cut');
  const page = await open();
  await track(page, 0, 10);
  await eventually(
    () => proxy.batches.length,
    (sent) => expect(sent).toBeGreaterThan(1),
  );
  proxy.make('none');
  await arrive(10);
});

test('batches that are too large for somebody on the way become smaller', async () => {
  proxy.make((events) => (events > 4 ? { status: 413 } : 'none'));
  options = 'data-auto-track="false" data-flush-interval="200" data-batch-size="16"';
  const page = await open();
  await track(page, 0, 16);
  await arrive(16);
  expect(await waiting(page)).toBe(0);
});

test('without a network events wait, and leave as soon as it is back', async () => {
  const page = await open();
  await context.setOffline(true);
  await track(page, 0, 30);
  await page.evaluate(() => maidian.forceFlush());
  expect(await waiting(page)).toBe(30);
  await context.setOffline(false);
  await arrive(30);
});

test('two tabs are one visitor in one session, and share the sending', async () => {
  const [one, two] = [await open(), await open()];
  for (let n = 0; n < 40; n += 4) {
    await Promise.all([track(one, n, n + 2), track(two, n + 2, n + 4)]);
  }
  await arrive(40);
  const events = await stored(path);
  expect(new Set(events.map((e) => `${e.anonymous_id} ${e.session_id}`)).size).toBe(1);
});

test('a frame without any storage works from memory', async () => {
  const page = await open(`${path}/frame`);
  const frame = page.frames()[1];
  await frame.waitForFunction(() => 'maidian' in window);
  const refused = await frame.evaluate(() => {
    try {
      return !localStorage;
    } catch (error) {
      return (error as Error).name;
    }
  });
  expect(refused).toBe('SecurityError');
  await frame.evaluate(() => {
    for (let n = 0; n < 10; n++) maidian.trackEvent('numbered', { n });
  });
  await arrive(10);
});

test('a full storage is no reason to lose anything', async () => {
  const page = await open();
  await page.evaluate(() => {
    for (let size = 1 << 22; size >= 1; size >>= 1) {
      try {
        for (let i = 0; ; i++) localStorage.setItem(`fill${size}.${i}`, 'x'.repeat(size));
      } catch {}
    }
  });
  await track(page, 0, 30);
  await arrive(30);
});

test('a device whose clock is a year slow is put right', async () => {
  head = '<script>{ const now = Date.now; Date.now = () => now() - 365 * 864e5; }</script>';
  const page = await open();
  const began = Date.now();
  await track(page, 0, 3);
  await arrive(3);
  for (const event of await stored(path)) expect(Math.abs(Date.parse(event.timestamp) - began)).toBeLessThan(30_000);
});

test('calls that come before the script has loaded are made up for, with their time', async () => {
  const wait = 'const until = Date.now() + 300; while (Date.now() < until);'; // as a slow network would
  head = `${stub.replace("maidian.trackEvent('banner_shown');", "maidian.setUserId('early-bird');")}
    <script>maidian.trackEvent('numbered', { n: 0 }); window.calledAt = Date.now(); ${wait}</script>`;
  const page = await open();
  await track(page, 1, 2);
  await arrive(2);
  const [first] = await stored(path);
  expect(first.user_id).toBe('early-bird');
  expect(Math.abs(Date.parse(first.timestamp) - ((await page.evaluate('calledAt')) as number))).toBeLessThan(100);
});

test('a strict Content-Security-Policy needs the collector’s address and nothing else', async () => {
  const strict = await startSite(() => `<!doctype html>${scriptTag(proxy.url, quick)}`, {
    'Content-Security-Policy': `default-src 'none'; script-src ${proxy.url}; connect-src ${proxy.url}; require-trusted-types-for 'script'`,
  });
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on('console', (message) => complaints.push(message.text()));
  await page.goto(`${strict.url}${path}`);
  await track(page, 0, 5);
  await arrive(5);
  expect(complaints).toEqual([]);
  await strict.stop();
});
