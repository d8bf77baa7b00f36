import { expect, test, vi } from 'vitest';
import { type CaptureName, captures } from '../src/captures.js';
import { followNavigation } from '../src/navigation.js';
import { click, fire, page, start, tracked, types, undo, visibility } from './watched.js';

test('a click is told by the nearest element that means something', () => {
  page('<button id="buy" class="big red"><span>Buy <b id="inner">now</b></span></button>');
  start(['clicks']);
  click('#inner', { pageX: 10.4, pageY: 920, clientX: 10.4, clientY: 20 });
  expect(tracked).toEqual([
    [
      'click',
      {
        element_id: 'buy',
        element_class: 'big red',
        element_text: 'Buy now',
        x_position: 10,
        y_position: 920,
        properties: { tag: 'button', viewport_x: 10, viewport_y: 20 },
      },
    ],
  ]);
});

test('a link’s target is told without its secrets', () => {
  page('<a id="a" href="https://b.example/reset?token=abc&x=1">Reset</a>');
  start(['clicks']);
  document.querySelector('#a')?.addEventListener('click', (event) => event.preventDefault());
  click('#a');
  expect(tracked[0][1].properties).toEqual({ tag: 'a', href: 'https://b.example/reset?x=1' });
});

test.each([
  ['an input', '<input id="t" value="s3cret">'],
  ['a password', '<input id="t" type="password" value="s3cret">'],
  ['a text area', '<textarea id="t">s3cret</textarea>'],
  ['a choice', '<select id="t"><option selected>s3cret</option></select>'],
  ['an editable part', '<div contenteditable="true"><p id="t">s3cret</p></div>'],
  ['a button around a field', '<button id="t"><textarea>s3cret</textarea></button>'],
  ['a button around a private part', '<button id="t">Pay <i data-no-track>s3cret</i></button>'],
  ['a part of the page that means nothing', '<div id="t"><p>s3cret</p></div>'],
])('what may have been typed is never told: %s', (_, html) => {
  page(html);
  start(['clicks']);
  click('#t');
  expect(types()).toEqual(['click']);
  expect(JSON.stringify(tracked)).not.toContain('s3cret');
});

test('nothing under data-no-track is told', () => {
  page('<div data-no-track><button id="b">x</button><form id="f"><input name="a"></form></div>');
  start(['clicks', 'forms']);
  click('#b');
  fire(document.querySelector('#f'), 'submit');
  expect(tracked).toEqual([]);
});

test('long text is cut, and white space is one blank', () => {
  page(`<button id="b">  a \n b ${'x'.repeat(300)}</button>`);
  start(['clicks']);
  click('#b');
  expect(tracked[0][1].element_text).toHaveLength(100);
  expect(tracked[0][1].element_text).toMatch(/^a b x/);
});

test('a form is told by the names of its fields, never their values', () => {
  page(`<form id="f" name="signup" class="c" action="/join?token=abc"><input name="mail" value="s3cret">
    <input name="mail"><input type="password" name="pw" value="s3cret"><input name="id" value="s3cret">
    <p data-no-track><input name="hidden"></p><button>Go</button></form>`);
  start(['forms']);
  fire(document.querySelector('#f'), 'submit');
  expect(tracked).toEqual([
    [
      'form_submit',
      {
        element_id: 'f',
        element_class: 'c',
        properties: { form_name: 'signup', action: '/join', fields: ['mail', 'pw', 'id'] },
      },
    ],
  ]);
});

test('scrolling tells every mark that was reached or passed, each once a page', async () => {
  Object.defineProperty(document.documentElement, 'scrollHeight', { value: 4 * innerHeight, configurable: true });
  start(['scroll']);
  const scrollTo = async (screens: number) => {
    Object.defineProperty(window, 'scrollY', { value: screens * innerHeight, configurable: true });
    for (let i = 0; i < 5; i++) window.dispatchEvent(new Event('scroll'));
    await vi.advanceTimersByTimeAsync(50);
  };
  for (const screens of [0.1, 0.2, 2.1, 1, 3, 0]) await scrollTo(screens);
  expect(tracked.map(([, fields]) => fields.scroll_depth)).toEqual([25, 50, 75, 90, 100]);
  history.pushState({}, '', '/next');
  await vi.advanceTimersByTimeAsync(1);
  await scrollTo(0.1);
  expect(tracked.at(-1)).toEqual(['scroll', { scroll_depth: 25 }]);
});

test('a single-page application’s pages are viewed and left one after the other', async () => {
  start(['leave', 'pageViews']);
  await vi.advanceTimersByTimeAsync(2000);
  history.pushState({}, '', '/a');
  history.replaceState({}, '', '/b'); // a redirect: /a was never seen
  await vi.advanceTimersByTimeAsync(1500);
  history.replaceState({ scroll: 1 }, '', '/b'); // no other page
  history.pushState({}, '', '/b#part');
  await vi.advanceTimersByTimeAsync(1500);
  window.dispatchEvent(new Event('pagehide'));
  expect(types()).toEqual(['page_view', 'page_leave', 'page_view', 'page_leave']);
  expect(tracked[1][1]).toEqual({ page_url: 'https://shop.example/start', duration: 2 });
  expect(tracked[3][1]).toEqual({ page_url: 'https://shop.example/b', page_title: 'Start', duration: 3 });
});

test('the page before is where the visitor came from', async () => {
  const navigation = followNavigation();
  undo.push(navigation.stop);
  history.pushState({}, '', '/a?token=abc');
  await vi.advanceTimersByTimeAsync(1);
  history.pushState({}, '', '/b');
  await vi.advanceTimersByTimeAsync(1);
  expect(navigation.referrer()).toBe('https://shop.example/a');
});

test('time in which the page cannot be seen is not time on the page', async () => {
  start(['leave']);
  await vi.advanceTimersByTimeAsync(1000);
  visibility('hidden');
  await vi.advanceTimersByTimeAsync(60_000);
  visibility('visible');
  await vi.advanceTimersByTimeAsync(500);
  window.dispatchEvent(new Event('pagehide'));
  expect(tracked[0][1].duration).toBe(1.5);
});

test('a page from the back/forward cache is viewed again', async () => {
  start(['leave', 'pageViews']);
  await vi.advanceTimersByTimeAsync(1000);
  window.dispatchEvent(new Event('pagehide'));
  await vi.advanceTimersByTimeAsync(60_000);
  window.dispatchEvent(Object.assign(new Event('pageshow'), { persisted: true }));
  await vi.advanceTimersByTimeAsync(700);
  window.dispatchEvent(new Event('pagehide'));
  expect(types()).toEqual(['page_view', 'page_leave', 'page_view', 'page_leave']);
  expect([tracked[1][1].duration, tracked[3][1].duration]).toEqual([1, 0.7]);
});

test('the first view waits for the load, but not beyond the page', () => {
  Object.defineProperty(document, 'readyState', { value: 'loading', configurable: true });
  start(['pageViews']);
  expect(tracked).toEqual([]);
  const began = Date.now();
  vi.setSystemTime(began + 900);
  visibility('hidden');
  expect(types()).toEqual(['page_view']);
  window.dispatchEvent(new Event('load'));
  vi.advanceTimersByTime(10);
  Object.defineProperty(document, 'readyState', { value: 'complete', configurable: true });
  expect(tracked).toEqual([['page_view', { timestamp: began }]]);
});

test('what was stopped is silent, and the page has its own functions back', () => {
  const { pushState } = history;
  page('<button id="b">x</button>');
  start(Object.keys(captures) as CaptureName[]);
  expect(history.pushState).not.toBe(pushState);
  tracked.length = 0;
  for (const stop of undo.splice(0)) stop();
  expect(history.pushState).toBe(pushState);
  click('#b');
  fire(window, 'scroll');
  fire(window, 'error', { message: 'x' });
  fire(window, 'pagehide');
  vi.advanceTimersByTime(10_000);
  expect(tracked).toEqual([]);
});

test('leaving tells how deep the visitor scrolled, on each page anew', async () => {
  Object.defineProperty(document.documentElement, 'scrollHeight', { value: 4 * innerHeight, configurable: true });
  start(['leave']);
  for (const screens of [2, 0]) {
    Object.defineProperty(window, 'scrollY', { value: screens * innerHeight, configurable: true });
    fire(window, 'scroll');
    await vi.advanceTimersByTimeAsync(50);
  }
  history.pushState({}, '', '/next');
  await vi.advanceTimersByTimeAsync(1);
  fire(window, 'pagehide');
  expect(tracked.map(([, fields]) => fields.scroll_depth)).toEqual([75, undefined]);
});

test('however many captures want to know, the layout is read once a frame', async () => {
  let reads = 0;
  const get = () => {
    reads++;
    return 4 * innerHeight;
  };
  Object.defineProperty(document.documentElement, 'scrollHeight', { get, configurable: true });
  start(['leave', 'scroll']);
  for (let i = 0; i < 10; i++) fire(window, 'scroll');
  expect(reads).toBe(0);
  await vi.advanceTimersByTimeAsync(50);
  expect(reads).toBe(1);
});
