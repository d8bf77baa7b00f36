import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest';
import { eventually, openBrowser, ownPath, type StoredEvent, scriptTag, startSite, stored, types } from './harness.js';

const body = `<header><a id="out" href="https://elsewhere.example/?token=abc&x=1"><b>Elsewhere</b></a>
  <a id="file" href="/files/list.csv" download>List</a></header>
  <button id="buy" class="big red"><span>Buy <i id="icon">now</i></span></button>
  <button id="dead">Nothing</button> <button id="alive">Something</button>
  <button id="add" data-track-event="cart_add" data-track-prop-product-id="p7" data-track-prop-price="9.5">Add</button>
  <form id="join" name="join" action="/thanks"><input name="email"><input name="password" type="password">
    <textarea name="about"></textarea><button id="send">Send</button></form>
  <div data-no-track><button id="quiet">Quiet</button></div>
  <p contenteditable id="note">note</p><p id="changing"></p><div style="height:4000px"></div>
  <script>
    onsubmit = (event) => event.preventDefault();
    document.querySelector('#out').onclick = (event) => event.preventDefault();
    document.querySelector('#alive').onclick = () => { document.querySelector('#changing').textContent += '!'; };
  </script>`;

let browser: Browser;
let site: Awaited<ReturnType<typeof startSite>>;
let context: BrowserContext;
let page: Page;
let path: string;
let errors: string[];
let head: string;

/** What was stored of these kinds for this test's pages, oldest first. */
const told = async (...kinds: string[]) => (await stored(path)).filter((event) => kinds.includes(event.event_type));
const toldOnce = (kinds: string[], check: (events: StoredEvent[]) => void) => eventually(() => told(...kinds), check);
const frames = () =>
  page.evaluate(() => new Promise((frame) => requestAnimationFrame(() => requestAnimationFrame(frame))));
const initialized = (options: object) =>
  `${scriptTag(inject('collector'), '').replace(/data-api-key="\w+"/, '')}<script>maidian.initTracking(${JSON.stringify(
    {
      apiKey: 'wk_demo',
      apiUrl: inject('collector'),
      flushInterval: 200,
      ...options,
    },
  )})</script>`;

beforeAll(async () => {
  browser = await openBrowser();
  site = await startSite((at) => `<!doctype html><title>Page ${at}</title>${head}${body}`);
});
afterAll(async () => {
  await browser?.close();
  await site?.stop();
});
beforeEach(async () => {
  head = scriptTag(inject('collector'));
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
  const [view] = await toldOnce(['page_view'], (events) => expect(events).toHaveLength(1));
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

describe('clicks', () => {
  test('say what was clicked and where', async () => {
    await page.goto(`${site.url}${path}`);
    await page.evaluate(() => scrollTo(0, 10));
    const box = await page.locator('#icon').boundingBox();
    const [x, y] = [Math.round(box?.x ?? 0) + 3, Math.round(box?.y ?? 0) + 5];
    await page.mouse.click(x, y);
    await page.click('#quiet');
    await page.click('#out');
    const clicks = await toldOnce(['click'], (events) => expect(events).toHaveLength(2));
    expect(clicks[0]).toMatchObject({
      element_id: 'buy',
      element_class: 'big red',
      element_text: 'Buy now',
      x_position: x,
      y_position: y + 10,
      properties: { tag: 'button', viewport_x: x, viewport_y: y },
    });
    expect(clicks[1].properties).toMatchObject({ tag: 'a', href: 'https://elsewhere.example/?x=1' });
  });

  test('in rage are counted once more, and where nothing answers once more again', async () => {
    await page.goto(`${site.url}${path}`);
    for (let i = 0; i < 5; i++) await page.click('#dead');
    const all = await toldOnce(['click', 'rage_click', 'dead_click'], (events) => expect(events).toHaveLength(7));
    const count = (type: string) => types(all).filter((t) => t === type).length;
    expect([count('click'), count('rage_click'), count('dead_click')]).toEqual([5, 1, 1]);
    expect(all.every((event) => event.element_id === 'dead')).toBe(true);
    const timeOf = (event?: StoredEvent) => Date.parse(event?.timestamp ?? '');
    const clicks = all.filter((event) => event.event_type === 'click');
    const dead = all.find((event) => event.event_type === 'dead_click');
    expect(Math.abs(timeOf(dead) - timeOf(clicks[4]))).toBeLessThan(100); // told later, but as of the click
  });

  test('that are answered are not dead', async () => {
    await page.goto(`${site.url}${path}`);
    await page.click('#alive');
    await page.click('#note');
    await page.click('#join input');
    await page.click('#dead');
    const dead = await toldOnce(['dead_click'], (events) => expect(events.length).toBeGreaterThan(0));
    expect(dead.map((event) => event.element_id)).toEqual(['dead']);
  });

  test('on links out and on files say so besides', async () => {
    await page.goto(`${site.url}${path}`);
    await page.click('#out');
    const download = page.waitForEvent('download');
    await page.click('#file');
    await (await download).cancel();
    const kinds = ['click', 'outbound_click', 'file_download'];
    const events = await toldOnce(kinds, (seen) => expect(seen).toHaveLength(4));
    expect(events.map((event) => `${event.event_type} ${event.element_id}`).sort()).toEqual([
      'click file',
      'click out',
      'file_download file',
      'outbound_click out',
    ]);
    const of = (type: string) => events.find((event) => event.event_type === type)?.properties;
    expect(of('outbound_click')).toMatchObject({ href: 'https://elsewhere.example/?x=1', host: 'elsewhere.example' });
    expect(of('file_download')).toMatchObject({ file_name: 'list.csv', file_extension: 'csv' });
  });

  test('on named elements are events of their own, of the types that the collector checks', async () => {
    await page.goto(`${site.url}${path}`);
    await page.click('#add');
    const [added] = await toldOnce(['cart_add'], (events) => expect(events).toHaveLength(1));
    expect(added).toMatchObject({ element_id: 'add', properties: { product_id: 'p7', price: 9.5 } });
  });
});

test('scrolling says each mark that was reached, and leaving how deep it went', async () => {
  await page.goto(`${site.url}${path}`);
  for (const share of [0.3, 0.6, 0.2]) {
    await page.evaluate((s) => scrollTo(0, s * document.documentElement.scrollHeight), share);
    await frames();
  }
  await page.goto(`${site.url}/elsewhere`);
  const [leave] = await toldOnce(['page_leave'], (events) => expect(events).toHaveLength(1));
  expect((await told('scroll')).map((event) => event.scroll_depth)).toEqual([25, 50, 75]);
  expect(leave.scroll_depth).toBeGreaterThan(75);
  expect(leave.scroll_depth).toBeLessThan(78);
  expect(leave).toMatchObject({ page_path: path, page_title: `Page ${path}` });
  expect(leave.duration).toBeGreaterThan(0);
});

test('a form says the names of its fields; what is typed stays in the page', async () => {
  await page.goto(`${site.url}${path}`);
  for (const field of ['[name=email]', '[name=password]', '[name=about]', '#note']) await page.fill(field, 's3cret-7');
  await page.click('[name=email]');
  await page.click('#note');
  await page.click('#send');
  const [submit] = await toldOnce(['form_submit'], (events) => expect(events).toHaveLength(1));
  expect(submit).toMatchObject({
    element_id: 'join',
    properties: { form_name: 'join', action: '/thanks', fields: ['email', 'password', 'about'] },
  });
  expect(JSON.stringify(await stored(path))).not.toContain('s3cret');
});

describe('a single-page application', () => {
  const go = (how: 'pushState' | 'replaceState', to: string) =>
    page.evaluate(
      async ([name, url]) => {
        history[name as 'pushState']({}, '', url);
        document.title = `Title ${url}`;
        await new Promise((soon) => setTimeout(soon, 20));
      },
      [how, to],
    );
  const ways = (events: StoredEvent[]) =>
    events.map((e) => `${e.event_type} ${e.page_url.slice(site.url.length + path.length)}`);

  test('is seen page by page, whichever way it goes', async () => {
    await page.goto(`${site.url}${path}`);
    await go('pushState', `${path}/one`);
    await go('replaceState', `${path}/one?sort=price`); // a filter, not a page
    await go('pushState', `${path}/one?page=2`);
    await go('replaceState', `${path}/two`);
    await page.goBack();
    await page.waitForURL(`**${path}/one?sort=price`);
    await page.evaluate(() => new Promise((soon) => setTimeout(soon, 20)));
    const events = await toldOnce(['page_view', 'page_leave'], (seen) => expect(seen).toHaveLength(9));
    expect(ways(events)).toEqual([
      'page_view ',
      'page_leave ',
      'page_view /one',
      'page_leave /one',
      'page_view /one?page=2',
      'page_leave /one?page=2',
      'page_view /two',
      'page_leave /two',
      'page_view /one?sort=price',
    ]);
    expect(events[2]).toMatchObject({ page_title: `Title ${path}/one`, referrer: `${site.url}${path}` });
    expect(events[4].referrer).toBe(`${site.url}${path}/one?sort=price`);
    expect(new Set(events.map((event) => event.session_id)).size).toBe(1);
  });

  test('that lives after the # is seen when asked', async () => {
    head = initialized({ hashRoutes: true });
    await page.goto(`${site.url}${path}#/`);
    await page.evaluate(() => {
      location.hash = '#/cart?token=abc';
      return new Promise((soon) => setTimeout(soon, 50));
    });
    const events = await toldOnce(['page_view'], (seen) => expect(seen).toHaveLength(2));
    expect(ways(events)).toEqual(['page_view #/', 'page_view #/cart']);
  });
});

test('a search is told once, whatever page of its results', async () => {
  await page.goto(`${site.url}${path}?q=blue+bowl`);
  await page.evaluate((to) => location.assign(to), `${site.url}${path}/next?q=blue+bowl&page=2`);
  await page.waitForURL('**/next?*');
  await page.evaluate((to) => location.assign(to), `${site.url}${path}/more?q=cup`);
  await page.waitForURL('**/more?*');
  await toldOnce(['page_view'], (events) => expect(events).toHaveLength(3));
  const searches = await toldOnce(['search'], (events) => expect(events).toHaveLength(2));
  expect(searches.map((event) => event.properties)).toMatchObject([{ query: 'blue bowl' }, { query: 'cup' }]);
});

test('errors that nobody caught are told, the same one once', async () => {
  head += `<script>
    const fail = () => setTimeout(() => { throw new TypeError('bad thing'); });
    for (let i = 0; i < 3; i++) fail();
    Promise.reject(new RangeError('too far: https://api.example/?token=s3cret'));
    new Image().src = 'data:,no picture';</script>`;
  await page.goto(`${site.url}${path}`);
  const found = await toldOnce(['error'], (events) => expect(events).toHaveLength(2));
  const kinds = Object.fromEntries(found.map(({ properties }) => [properties.kind, properties]));
  expect(kinds.error).toMatchObject({ message: 'TypeError: bad thing', source: `${site.url}${path}`, line: 2 });
  expect(kinds.error.stack).toMatch(/TypeError: bad thing\n\s+at /);
  expect(kinds.rejection.message).toBe('RangeError: too far: https://api.example/');
  expect(JSON.stringify(found)).not.toContain('s3cret');
  errors = errors.filter((message) => !/bad thing|too far/.test(message));
});

/** The package whose definitions these are: what it says of the same page is what must be stored. */
const theirs = readFileSync(
  createRequire(import.meta.url)
    .resolve('web-vitals')
    .replace(/[^/]*$/, 'web-vitals.iife.js'),
  'utf8',
);
const beside = `<script>${theirs}
  window.said = [];
  for (const name of ['LCP', 'CLS', 'INP', 'FCP', 'TTFB']) {
    webVitals['on' + name](({ value, rating, navigationType }) => said.push([name, Math.round(value * 1e4) / 1e4, rating, navigationType]));
  }</script>`;
const shifting = `<p id="first">First</p><button id="slow">Slow</button><script>
  window.shifted = 0;
  new PerformanceObserver((list) => {
    for (const { hadRecentInput, value } of list.getEntries()) if (!hadRecentInput) shifted += value;
  }).observe({ type: 'layout-shift', buffered: true });
  document.querySelector('#slow').onclick = () => { const until = performance.now() + 90; while (performance.now() < until); };
  const push = (height) => document.body.prepend(Object.assign(document.createElement('div'), { style: 'height:' + height })) || true;
  const pull = () => document.body.firstChild.remove();
  setTimeout(push, 60, '90px'); setTimeout(push, 120, '50px');</script>`;

describe('web vitals', () => {
  type Said = [name: string, value: number, rating: string, how: string];
  const said = async () =>
    (await told('web_vital')).map(
      ({ event_name, properties: p }): Said => [event_name, p.value, p.rating, p.navigation_type],
    );
  const sorted = (lines: Said[]) => lines.map((line) => line.join(' ')).sort();
  /** A tab in front hides the page, and lets it be seen again. */
  const setHidden = async (hidden: boolean) => {
    const session = await context.newCDPSession(page);
    await session.send('Emulation.setFocusEmulationEnabled', { enabled: !hidden });
    await page.evaluate((is) => {
      Object.defineProperty(document, 'visibilityState', { value: is ? 'hidden' : 'visible', configurable: true });
      Object.defineProperty(document, 'hidden', { value: is, configurable: true });
      document.dispatchEvent(new Event('visibilitychange', { bubbles: true }));
    }, hidden);
  };

  test('are what the web-vitals package says of the same page', async () => {
    head = `${beside}${scriptTag(inject('collector'))}${shifting}`;
    await page.goto(`${site.url}${path}`);
    await page.waitForFunction('shifted > 0.1');
    await page.click('#slow');
    await page.click('#alive');
    await frames();
    await setHidden(true);
    const first = (await page.evaluate('said')) as Said[];
    expect(first.map(([name]) => name).sort()).toEqual(['CLS', 'FCP', 'INP', 'LCP', 'TTFB']);
    expect(first.find(([name]) => name === 'CLS')?.[1]).toBeGreaterThan(0);
    expect(first.find(([name]) => name === 'INP')?.[1]).toBeGreaterThanOrEqual(90);
    await eventually(said, (lines) => expect(sorted(lines)).toEqual(sorted(first)));

    await setHidden(false);
    await page.evaluate("setInterval(() => push('90px') && setTimeout(pull, 100), 200)");
    await page.waitForFunction('shifted > 1'); // none soon after the click: that is what the visitor wanted
    await setHidden(true);
    const second = (await page.evaluate('said')) as Said[];
    expect(second.length).toBeGreaterThan(first.length);
    await eventually(said, (lines) => expect(sorted(lines)).toEqual(sorted(second)));
  });
});

describe('the back/forward cache', () => {
  let caching: Browser;
  beforeAll(async () => {
    caching = await openBrowser({ ignoreDefaultArgs: ['--disable-back-forward-cache'] });
  });
  afterAll(() => caching?.close());

  test('brings a page back as another visit of it', async () => {
    head = `${beside}${scriptTag(inject('collector'))}`;
    page = await caching.newPage();
    await page.goto(`${site.url}${path}`);
    await page.evaluate(() => {
      Object.assign(window, { alive: 1 });
    });
    await page.waitForTimeout(100);
    await page.goto(`${site.url}${path}/next`);
    await page.goBack({ waitUntil: 'commit' });
    await page.waitForFunction(() => location.pathname.split('/').length === 2);
    expect(await page.evaluate('window.alive')).toBe(1); // else the cache was not used, and this shows nothing
    await page.waitForTimeout(200);
    const first = (await page.evaluate('said')) as [string, number, string, string][];
    await page.goto('about:blank');
    const events = await toldOnce(['page_view', 'page_leave'], (seen) => expect(seen).toHaveLength(6));
    const on = (end: string) => types(events.filter((e) => e.page_path === path + end));
    expect(on('')).toEqual(['page_view', 'page_leave', 'page_view', 'page_leave']);
    expect(on('/next')).toEqual(['page_view', 'page_leave']);
    const again = await toldOnce(['web_vital'], (seen) =>
      expect(seen.filter((e) => e.properties.navigation_type === 'back-forward-cache').length).toBeGreaterThan(2),
    );
    const of = (name: string) =>
      again.find((e) => e.event_name === name && e.properties.navigation_type === 'back-forward-cache')?.properties
        .value;
    const theirsOf = (name: string) => first.find((line) => line[0] === name && line[3] === 'back-forward-cache')?.[1];
    expect(of('TTFB')).toBe(0);
    for (const name of ['FCP', 'LCP']) {
      expect(theirsOf(name)).toBeGreaterThan(0);
      expect(Math.abs(of(name) - (theirsOf(name) ?? 0))).toBeLessThan(17); // each reads the clock for itself
    }
    await page.close();
  });
});
