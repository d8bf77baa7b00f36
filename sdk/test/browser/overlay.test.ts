import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually, openBrowser, ownPath, scriptTag, startProxy, startSite, stored, types } from './harness.js';

type Maidian = typeof import('../../src/index.js');
declare const maidian: Maidian;

let browser: Browser;
let proxy: Awaited<ReturnType<typeof startProxy>>;

beforeAll(async () => {
  browser = await openBrowser();
  proxy = await startProxy();
});
afterAll(async () => {
  await proxy?.stop();
  await browser?.close();
});

/** Web vitals come when the browser has them; here all is to be there in a known order. */
const options = `data-flush-interval="200" data-auto-track='{"vitals":false}'`;

/** The rows of the overlay, oldest first: type, fate, reason. */
const rows = async (page: Page) => {
  const seen = await page
    .locator('maidian-debug li')
    .evaluateAll((items) =>
      items.map((item) => ['summary span', 'summary em', '.why'].map((part) => item.querySelector(part)?.textContent)),
    );
  return seen.reverse();
};

/** The strictest policies under which the SDK itself works, with and without a word for the overlay. */
const policy = (more = '') =>
  `default-src 'none'; script-src ${proxy.url}; connect-src ${proxy.url}; require-trusted-types-for 'script'; ${more}`;

test('the overlay shows what becomes of events, under a strict Content-Security-Policy, and is not tracked', async () => {
  const html = `<!doctype html><title>Shop</title><h1>Shop</h1><button>Buy</button>${scriptTag(proxy.url, options)}`;
  const site = await startSite(() => html, { 'Content-Security-Policy': policy('trusted-types maidian') });
  const page = await browser.newPage({ viewport: { width: 900, height: 600 } });
  const complaints: string[] = [];
  page.on('console', (message) => complaints.push(message.text()));
  const path = ownPath();
  await page.goto(`${site.url}${path}?maidian_debug=1`);
  await page.click('button');
  await page.evaluate(() => {
    maidian.trackEvent('purchase', { properties: { order_id: 'o-17', amount: -1, currency: 'EUR' } });
    maidian.trackEvent('signed_up', { properties: { plan: 'pro' } });
  });
  await eventually(
    () => rows(page),
    (seen) =>
      expect(seen).toEqual([
        ['page_view', 'confirmed', ''],
        ['click', 'confirmed', ''],
        ['purchase', 'rejected', expect.stringContaining('amount')],
        ['signed_up', 'confirmed', ''],
      ]),
  );
  proxy.make({ status: 503, retryAfter: 60 });
  await page.click('maidian-debug summary >> nth=1'); // opens the refused event's fields
  await page.evaluate(() => maidian.trackEvent('later'));
  await eventually(
    () => rows(page),
    (seen) => expect(seen.at(-1)).toEqual(['later', 'waiting', expect.stringContaining('503')]),
  );
  expect(await page.locator('maidian-debug p').innerText()).toBe('1 waiting · 3 confirmed · 1 rejected · 0 dropped');
  expect(await page.locator('maidian-debug section').evaluate((panel) => getComputedStyle(panel).borderRadius)).toBe(
    '8px',
  );
  await page.click('maidian-debug button');
  expect(await page.locator('maidian-debug').count()).toBe(0);
  expect(complaints.filter((text) => !text.includes('503'))).toEqual([]);
  expect(types(await stored(path))).toEqual(['page_view', 'click', 'signed_up']);
  proxy.make('none');
  await page.close();
  await site.stop();
});

test('where the policy refuses the overlay, tracking goes on', async () => {
  const site = await startSite(() => `<!doctype html>${scriptTag(proxy.url, options)}`, {
    'Content-Security-Policy': policy("trusted-types 'none'"),
  });
  const page = await browser.newPage();
  const path = ownPath();
  await page.goto(`${site.url}${path}?maidian_debug=1`);
  await eventually(
    () => stored(path),
    (events) => expect(types(events)).toEqual(['page_view']),
  );
  expect(await page.locator('maidian-debug').count()).toBe(0);
  await page.close();
  await site.stop();
});

test('nobody else fetches it', async () => {
  const site = await startSite(() => `<!doctype html>${scriptTag(proxy.url, options)}`);
  const page = await browser.newPage();
  const fetched: string[] = [];
  page.on('request', (request) => fetched.push(new URL(request.url()).pathname));
  const path = ownPath();
  await page.goto(`${site.url}${path}`);
  await eventually(
    () => stored(path),
    (events) => expect(events).toHaveLength(1),
  );
  expect(fetched).not.toContain('/sdk-overlay.js');
  await page.close();
  await site.stop();
});
