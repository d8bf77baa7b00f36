import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { ask, eventually, openBrowser } from './harness.js';

let browser: Browser;

beforeAll(async () => {
  browser = await openBrowser();
});
afterAll(async () => {
  await browser?.close();
});

test('a visit to the demo shop ends up in the shop’s funnel', async () => {
  const page = await browser.newPage();
  const complaints: string[] = [];
  page.on('console', (message) => complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(error.message));
  const steps = ['product_view', 'cart_add', 'search', 'purchase'];
  const converted = async () => (await ask('funnel', { steps, days: 2 })).funnel_steps.at(-1).users;
  const before = await converted();

  await page.goto(`${inject('collector')}/demo`);
  await page.click('#look-celadon-bowl');
  await page.click('dialog[open] .solid');
  await page.fill('#search input', 'pottery');
  await page.press('#search input', 'Enter');
  await page.click('#cart');
  await page.click('#buy');

  await page.waitForFunction(() => document.querySelector('#n-waiting')?.textContent === '0');
  const lines = await page.locator('#log li').allInnerTexts();
  expect(lines.filter((line) => line.includes('purchase'))).toHaveLength(1);
  expect(lines.every((line) => line.endsWith('stored'))).toBe(true);
  await eventually(converted, (users) => expect(users).toBe(before + 1));
  expect(complaints).toEqual([]);
  await page.close();
});

test('the demo shop fits a phone', async () => {
  const page = await browser.newPage({ viewport: { width: 360, height: 740 } });
  await page.goto(`${inject('collector')}/demo`);
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  expect(width).toBeLessThanOrEqual(360);
  await page.close();
});
