import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type CaptureName, captures } from '../src/captures.js';
import type { Undo } from '../src/listen.js';
import { followNavigation } from '../src/navigation.js';
import type { Fields } from '../src/tracking.js';

let tracked: [type: string, fields: Fields][];
let undo: Undo[];

const start = (...names: CaptureName[]) => {
  const navigation = followNavigation();
  undo.push(navigation.stop);
  const track = (type: string, fields: Fields = {}) => {
    tracked.push([type, JSON.parse(JSON.stringify(fields))]);
  };
  for (const name of names) undo.push(captures[name]({ track, navigation }));
};
const types = () => tracked.map(([type]) => type);
const click = (selector: string, place = {}) => {
  const event = new MouseEvent('click', { bubbles: true, cancelable: true, composed: true });
  for (const [name, value] of Object.entries(place)) Object.defineProperty(event, name, { value });
  document.querySelector(selector)?.dispatchEvent(event);
};
const page = (html: string) => {
  document.body.innerHTML = html;
};
const visibility = (state: 'visible' | 'hidden') => {
  Object.defineProperty(document, 'visibilityState', { value: state, configurable: true });
  document.dispatchEvent(new Event('visibilitychange'));
};

beforeEach(() => {
  vi.useFakeTimers({ now: 1_767_225_600_000 });
  tracked = [];
  undo = [];
  document.title = 'Start';
  history.replaceState({}, '', '/start');
});
afterEach(() => {
  visibility('visible');
  undo.forEach((stop) => stop());
  vi.useRealTimers();
});

test('a click is told by the nearest element that means something', () => {
  page('<button id="buy" class="big red"><span>Buy <b id="inner">now</b></span></button>');
  start('clicks');
  click('#inner', { pageX: 10.4, pageY: 20 });
  expect(tracked).toEqual([
    [
      'click',
      {
        element_id: 'buy',
        element_class: 'big red',
        element_text: 'Buy now',
        x_position: 10,
        y_position: 20,
        properties: { tag: 'button' },
      },
    ],
  ]);
});

test('a link’s target is told without its secrets', () => {
  page('<a id="a" href="https://b.example/reset?token=abc&x=1">Reset</a>');
  start('clicks');
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
  start('clicks');
  click('#t');
  expect(types()).toEqual(['click']);
  expect(JSON.stringify(tracked)).not.toContain('s3cret');
});

test('nothing under data-no-track is told', () => {
  page('<div data-no-track><button id="b">x</button><form id="f"><input name="a"></form></div>');
  start('clicks', 'forms');
  click('#b');
  document.querySelector('#f')?.dispatchEvent(new Event('submit', { bubbles: true }));
  expect(tracked).toEqual([]);
});

test('long text is cut, and white space is one blank', () => {
  page(`<button id="b">  a \n b ${'x'.repeat(300)}</button>`);
  start('clicks');
  click('#b');
  expect(tracked[0][1].element_text).toHaveLength(100);
  expect(tracked[0][1].element_text).toMatch(/^a b x/);
});

test('a form is told by the names of its fields, never their values', () => {
  page(`<form id="f" name="signup" class="c" action="/join?token=abc"><input name="mail" value="s3cret">
    <input name="mail"><input type="password" name="pw" value="s3cret"><input name="id" value="s3cret">
    <p data-no-track><input name="hidden"></p><button>Go</button></form>`);
  start('forms');
  document.querySelector('#f')?.dispatchEvent(new Event('submit', { bubbles: true }));
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

test('scrolling tells the deepest mark passed, each once a page', async () => {
  Object.defineProperty(document.documentElement, 'scrollHeight', { value: 4 * innerHeight, configurable: true });
  start('scroll');
  const scrollTo = async (screens: number) => {
    Object.defineProperty(window, 'scrollY', { value: screens * innerHeight, configurable: true });
    for (let i = 0; i < 5; i++) window.dispatchEvent(new Event('scroll'));
    await vi.advanceTimersByTimeAsync(50);
  };
  for (const screens of [0.1, 0.2, 2.1, 1, 3, 0]) await scrollTo(screens);
  expect(tracked.map(([, fields]) => fields.scroll_depth)).toEqual([25, 75, 100]);
  history.pushState({}, '', '/next');
  await vi.advanceTimersByTimeAsync(1);
  await scrollTo(0.1);
  expect(tracked.at(-1)).toEqual(['scroll', { scroll_depth: 25 }]);
});

test('a single-page application’s pages are viewed and left one after the other', async () => {
  start('leave', 'pageViews');
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
  start('leave');
  await vi.advanceTimersByTimeAsync(1000);
  visibility('hidden');
  await vi.advanceTimersByTimeAsync(60_000);
  visibility('visible');
  await vi.advanceTimersByTimeAsync(500);
  window.dispatchEvent(new Event('pagehide'));
  expect(tracked[0][1].duration).toBe(1.5);
});

test('a page from the back/forward cache is viewed again', async () => {
  start('leave', 'pageViews');
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
  start('pageViews');
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
  start('clicks', 'forms', 'leave', 'pageViews', 'scroll');
  expect(history.pushState).not.toBe(pushState);
  tracked = [];
  undo.forEach((stop) => stop());
  expect(history.pushState).toBe(pushState);
  click('#b');
  window.dispatchEvent(new Event('pagehide'));
  expect(tracked).toEqual([]);
});
