import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, inject, test } from 'vitest';
import { eventually, openBrowser, ownPath, scriptTag, startSite, stored, types } from './harness.js';

const body = `<header><a id="out" href="https://elsewhere.example/?token=abc&x=1"><b>Elsewhere</b></a></header>
  <button id="buy" class="big red"><span>Buy <i id="icon">now</i></span></button>
  <form id="join" name="join" action="/thanks"><input name="email"><input name="password" type="password">
    <textarea name="about"></textarea><button id="send">Send</button></form>
  <div data-no-track><button id="quiet">Quiet</button></div>
  <p contenteditable id="note">note</p><div style="height:4000px"></div>
  <script>
    onsubmit = (event) => event.preventDefault();
    document.querySelector('#out').onclick = (event) => event.preventDefault();
  </script>`;

let browser: Browser;
let site: Awaited<ReturnType<typeof startSite>>;
let context: BrowserContext;
let page: Page;
let path: string;
let errors: string[];

beforeAll(async () => {
  browser = await openBrowser();
  site = await startSite((at) => `<!doctype html><title>Page ${at}</title>${scriptTag(inject('collector'))}${body}`);
});
afterAll(async () => {
  await browser?.close();
  await site?.stop();
});
beforeEach(async () => {
  context = await browser.newContext({ viewport: { width: 1000, height: 700 } });
  page = await context.newPage();
  errors = [];
  page.on('pageerror', (error) => errors.push(error.message));
  path = ownPath();
});
afterEach(async () => {
  await context.close();
  expect(errors).toEqual([]);
});

test('a page view says which page, who, in which session, and how long it took', async () => {
  await page.goto(`${site.url}${path}?utm_source=letter&token=s3cret`);
  const [view] = await eventually(
    () => stored(path),
    (events) => expect(types(events)).toEqual(['page_view']),
  );
  expect(view).toMatchObject({
    page_url: `${site.url}${path}?utm_source=letter`,
    page_title: `Page ${path}`,
    page_path: path,
    viewport_size: '1000x700',
    utm_source: 'letter',
    sdk: expect.stringMatching(/^maidian-js\//),
    browser: expect.stringMatching(/Chrom/),
  });
  expect(view.load_time).toBeGreaterThan(0);
  const kept = await page.evaluate(() => [localStorage['md.anon'], localStorage['md.session'].split(' ')[0]]);
  expect([view.anonymous_id, view.session_id]).toEqual(kept);
});

test('a click says what was clicked and where', async () => {
  await page.goto(`${site.url}${path}`);
  await page.click('#icon');
  await page.click('#quiet');
  await page.click('#out');
  const clicks = await eventually(
    async () => (await stored(path)).filter((event) => event.event_type === 'click'),
    (events) => expect(events).toHaveLength(2),
  );
  const box = await page.locator('#icon').boundingBox();
  expect(clicks[0]).toMatchObject({ element_id: 'buy', element_class: 'big red', element_text: 'Buy now' });
  expect(Math.abs(clicks[0].x_position - ((box?.x ?? 0) + (box?.width ?? 0) / 2))).toBeLessThan(2);
  expect(Math.abs(clicks[0].y_position - ((box?.y ?? 0) + (box?.height ?? 0) / 2))).toBeLessThan(2);
  expect(clicks[1].properties).toEqual({ tag: 'a', href: 'https://elsewhere.example/?x=1' });
});

test('scrolling says how deep', async () => {
  await page.goto(`${site.url}${path}`);
  for (const share of [0.3, 0.6, 0.2, 1]) {
    await page.evaluate((s) => scrollTo(0, s * document.documentElement.scrollHeight), share);
    await page.evaluate(() => new Promise((frame) => requestAnimationFrame(() => requestAnimationFrame(frame))));
  }
  const depths = async () => (await stored(path)).flatMap((event) => event.scroll_depth ?? []);
  await eventually(depths, (seen) => expect(seen).toEqual([25, 75, 100]));
});

test('a form says the names of its fields; what is typed stays in the page', async () => {
  await page.goto(`${site.url}${path}`);
  for (const field of ['[name=email]', '[name=password]', '[name=about]', '#note']) await page.fill(field, 's3cret-7');
  await page.click('[name=email]');
  await page.click('#note');
  await page.click('#send');
  const events = await eventually(
    () => stored(path),
    (seen) => expect(types(seen)).toContain('form_submit'),
  );
  const submit = events.find((event) => event.event_type === 'form_submit');
  expect(submit).toMatchObject({
    element_id: 'join',
    properties: { form_name: 'join', action: '/thanks', fields: ['email', 'password', 'about'] },
  });
  expect(JSON.stringify(events)).not.toContain('s3cret');
});

test('a single-page application is seen page by page', async () => {
  await page.goto(`${site.url}${path}`);
  await eventually(
    () => stored(path),
    (events) => expect(events).toHaveLength(1),
  );
  await page.evaluate((to) => {
    history.pushState({}, '', `${to}/one`);
    document.title = 'One';
  }, path);
  await eventually(
    () => stored(path),
    (events) => expect(events).toHaveLength(3),
  );
  await page.goBack();
  const events = await eventually(
    () => stored(path),
    (seen) => expect(seen).toHaveLength(5),
  );
  expect(events.map((event) => `${event.event_type} ${event.page_path}`)).toEqual([
    `page_view ${path}`,
    `page_leave ${path}`,
    `page_view ${path}/one`,
    `page_leave ${path}/one`,
    `page_view ${path}`,
  ]);
  expect(events[2]).toMatchObject({ page_title: 'One', referrer: `${site.url}${path}` });
  expect(new Set(events.map((event) => event.session_id)).size).toBe(1);
});

test('leaving for another page says how long the page was seen', async () => {
  await page.goto(`${site.url}${path}`);
  await page.goto(`${site.url}${path}/next`);
  const events = await eventually(
    () => stored(path),
    (seen) => expect(types(seen)).toContain('page_leave'),
  );
  const leave = events.find((event) => event.event_type === 'page_leave');
  expect(leave).toMatchObject({ page_path: path, page_title: `Page ${path}` });
  expect(leave?.duration).toBeGreaterThan(0);
});
