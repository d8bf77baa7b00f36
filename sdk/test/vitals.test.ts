import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { fire, news, start, undo, visibility } from './watched.js';

type Observation = { type: string; buffered: boolean };
type Entry = Record<string, unknown>;

/** Takes the place of the browser's observer: what it would have delivered is what a test says. */
class Observer {
  static supportedEntryTypes = ['paint', 'largest-contentful-paint', 'layout-shift', 'event', 'first-input'];
  static all = new Set<Observer>();
  type = '';
  buffered = false;
  waiting: Entry[] = [];
  constructor(readonly hear: (list: { getEntries(): Entry[] }) => void) {}
  observe({ type, buffered }: Observation) {
    this.type = type;
    this.buffered = buffered;
    Observer.all.add(this);
  }
  takeRecords() {
    return this.waiting.splice(0);
  }
  disconnect() {
    Observer.all.delete(this);
  }
}
const heard = (type: string, use: (observer: Observer) => void) =>
  [...Observer.all].filter((o) => o.type === type).forEach(use);
const deliver = (type: string, ...entries: Entry[]) =>
  heard(type, ({ hear }) => hear({ getEntries: () => entries.map((e) => ({ entryType: type, ...e })) }));
const paint = (startTime: number) =>
  deliver('paint', { name: 'first-paint', startTime: 1 }, { name: 'first-contentful-paint', startTime });
const largest = (startTime: number) => deliver('largest-contentful-paint', { startTime });
const shift = (startTime: number, value: number, hadRecentInput = false) =>
  deliver('layout-shift', { startTime, value, hadRecentInput });
const input = (id: number, duration: number, type = 'event') => deliver(type, { interactionId: id * 7, duration });

/** What was told since last asked: `LCP 1200 good`. */
const told = () =>
  news().map(
    ([type, { event_name, properties }]) =>
      `${type === 'web_vital' && event_name} ${properties?.value} ${properties?.rating}`,
  );
const of = (vital: string) => told().filter((line) => line.startsWith(vital));
const hide = () => visibility('hidden');
const show = () => visibility('visible');
const restore = () => fire(window, 'pageshow', { persisted: true, timeStamp: performance.now() });
let timing: Entry;
let hiddenBefore: Entry[];
let interactionCount: number | undefined;

beforeEach(() => {
  Observer.all.clear();
  timing = { type: 'navigate', responseStart: 12 };
  hiddenBefore = [];
  interactionCount = undefined;
  vi.stubGlobal('PerformanceObserver', Observer);
  vi.spyOn(performance, 'getEntriesByType').mockImplementation(((type: string) =>
    type === 'navigation' ? [timing] : type === 'visibility-state' ? hiddenBefore : []) as never);
  Object.defineProperty(performance, 'interactionCount', { get: () => interactionCount, configurable: true });
  vi.advanceTimersByTime(100);
});
afterEach(() => {
  vi.unstubAllGlobals();
});

test('each is told when it is known, with its rating, and for the page that was loaded', () => {
  start(['vitals']);
  paint(1900);
  largest(2000);
  largest(4100);
  shift(900, 0.2);
  input(1, 232);
  history.replaceState({}, '', '/elsewhere');
  expect(news()).toMatchObject([
    ['web_vital', { event_name: 'TTFB', properties: { value: 12, rating: 'good', navigation_type: 'navigate' } }],
    ['web_vital', { event_name: 'FCP', properties: { value: 1900, rating: 'needs-improvement' } }],
  ]);
  hide();
  const rest = news();
  expect(rest).toMatchObject([
    ['web_vital', { event_name: 'LCP', properties: { value: 4100, rating: 'poor' } }],
    ['web_vital', { event_name: 'CLS', properties: { value: 0.2, rating: 'needs-improvement' } }],
    ['web_vital', { event_name: 'INP', properties: { value: 232, rating: 'needs-improvement' } }],
  ]);
  expect(rest.every(([, { page_url }]) => page_url === 'https://shop.example/start')).toBe(true);
  expect(new Set(rest.map(([, { properties }]) => properties?.visit_id)).size).toBe(1);
});

test('what waits to be delivered when the page is hidden counts', () => {
  start(['vitals']);
  paint(50);
  news();
  heard('largest-contentful-paint', (o) => o.waiting.push({ startTime: 70 }));
  heard('layout-shift', (o) => o.waiting.push({ startTime: 70, value: 0.01 }));
  heard('event', (o) => o.waiting.push({ interactionId: 7, duration: 48 }));
  hide();
  expect(told()).toEqual(['LCP 70 good', 'CLS 0.01 good', 'INP 48 good']);
});

test('each is told again only when it has changed, and the largest paint never', () => {
  start(['vitals']);
  paint(50);
  largest(60);
  hide();
  expect(told()).toEqual(['TTFB 12 good', 'FCP 50 good', 'LCP 60 good', 'CLS 0 good']);
  show();
  largest(9000);
  shift(9000, 0.3);
  hide();
  expect(told()).toEqual(['CLS 0.3 poor']);
  show();
  hide();
  expect(told()).toEqual([]);
});

test.each(['click', 'keydown'])(
  'the largest paint counts until a visitor’s %s, not one of the page’s making',
  async (type) => {
    start(['vitals']);
    largest(60);
    fire(window, type, { isTrusted: false });
    await vi.advanceTimersByTimeAsync(5);
    expect(of('LCP')).toEqual([]);
    fire(window, type, { isTrusted: true });
    await vi.advanceTimersByTimeAsync(5);
    expect(of('LCP')).toEqual(['LCP 60 good']);
    largest(90);
    hide();
    expect(of('LCP')).toEqual([]);
  },
);

test.each<[string, [at: number, by: number, after?: boolean][], number]>([
  [
    'close ones add up',
    [
      [100, 0.1],
      [1000, 0.1],
      [1900, 0.05],
    ],
    0.25,
  ],
  [
    'a second apart they do not',
    [
      [100, 0.1],
      [1100, 0.2],
    ],
    0.2,
  ],
  [
    'nor beyond five seconds',
    [
      [0, 0.1],
      [900, 0.1],
      [1800, 0.1],
      [2700, 0.1],
      [3600, 0.1],
      [4500, 0.1],
      [5000, 0.1],
    ],
    0.6,
  ],
  [
    'the worst group counts, not the last',
    [
      [100, 0.3],
      [5000, 0.1],
    ],
    0.3,
  ],
  [
    'those after an input are what the visitor wanted',
    [
      [100, 0.3, true],
      [200, 0.1],
    ],
    0.1,
  ],
])('shifts: %s', (_, shifts, value) => {
  start(['vitals']);
  paint(50);
  for (const [at, by, wanted] of shifts) shift(at, by, wanted);
  hide();
  expect(Number(of('CLS')[0].split(' ')[1])).toBeCloseTo(value, 4);
});

test('where nothing was painted, nothing has shifted', () => {
  start(['vitals']);
  shift(100, 0.3);
  hide();
  expect(of('CLS')).toEqual([]);
});

test.each<[string, number[], number | undefined, string[]]>([
  ['none', [], 0, []],
  ['the slowest of a few', [48, 304, 64], 3, ['INP 304 needs-improvement']],
  ['one in fifty is left out', [48, 304, 64], 50, ['INP 64 good']],
  ['two in a hundred', [48, 304, 64], 149, ['INP 48 good']],
  [
    'by their numbers where the browser does not count',
    Array.from({ length: 60 }, (_, i) => 40 + 8 * i),
    undefined,
    ['INP 504 poor'],
  ],
])('interactions: %s', (_, durations, count, expected) => {
  interactionCount = count;
  start(['vitals']);
  durations.forEach((duration, i) => input(i + 1, duration));
  hide();
  expect(of('INP')).toEqual(expected);
});

test('several events of one interaction count once, with the longest', () => {
  interactionCount = 60;
  start(['vitals']);
  for (const duration of [100, 300, 200]) input(1, duration);
  input(2, 80);
  input(0, 900); // no interaction: a hover, a scroll
  hide();
  expect(of('INP')).toEqual(['INP 80 good']);
});

test('the first input counts however quick it was', () => {
  interactionCount = 1;
  start(['vitals']);
  input(1, 16, 'first-input');
  hide();
  expect(of('INP')).toEqual(['INP 16 good']);
});

test.each<[string, () => void]>([
  ['when it was opened in the background', () => visibility('hidden')],
  ['when it was hidden before this script ran', () => hiddenBefore.push({ name: 'hidden', startTime: 40 })],
])('nobody waited for what is painted %s', (_, before) => {
  before();
  start(['vitals']);
  show();
  paint(50);
  largest(60);
  hide();
  expect(told()).toEqual(['TTFB 12 good']);
});

test('a page prepared in advance is measured from when it was shown', () => {
  timing.activationStart = 1000;
  hiddenBefore.push({ name: 'hidden', startTime: 0 });
  start(['vitals']);
  paint(900);
  largest(1250);
  hide();
  const seen = news();
  expect(seen.map(([, e]) => [e.event_name, e.properties?.value, e.properties?.navigation_type])).toEqual([
    ['TTFB', 0, 'prerender'],
    ['FCP', 0, 'prerender'],
    ['LCP', 250, 'prerender'],
    ['CLS', 0, 'prerender'],
  ]);
});

test.each([0, -5, 1e12])('a first byte at %s is nonsense', (responseStart) => {
  timing.responseStart = responseStart;
  start(['vitals']);
  expect(told()).toEqual([]);
});

test('back from the cache is a visit of its own', async () => {
  interactionCount = 3;
  start(['vitals']);
  paint(50);
  largest(60);
  shift(70, 0.3);
  input(1, 504);
  hide();
  const first = news()[0][1].properties?.visit_id;
  await vi.advanceTimersByTimeAsync(60_000);
  show();
  restore();
  expect([...Observer.all].some(({ buffered }) => buffered)).toBe(false);
  await vi.advanceTimersByTimeAsync(40);
  const [ttfb, ...paints] = news();
  expect(ttfb).toMatchObject(
    ['web_vital', { event_name: 'TTFB', properties: { value: 0, navigation_type: 'back-forward-cache' } }].slice(),
  );
  expect(ttfb[1].properties?.visit_id).not.toBe(first);
  expect(paints.map(([, e]) => e.event_name)).toEqual(['FCP', 'LCP']);
  for (const [, { properties }] of paints) {
    expect(properties?.value).toBeGreaterThan(0);
    expect(properties?.value).toBeLessThanOrEqual(40);
  }
  largest(70_000);
  interactionCount = 5; // both too quick to be told of
  hide();
  expect(told()).toEqual(['CLS 0 good', 'INP 8 good']);
});

test('a browser that measures less says less', () => {
  Observer.supportedEntryTypes = ['paint', 'first-input'];
  start(['vitals']);
  paint(50);
  hide();
  expect(told()).toEqual(['TTFB 12 good', 'FCP 50 good']);
  Observer.supportedEntryTypes = ['paint', 'largest-contentful-paint', 'layout-shift', 'event', 'first-input'];
});

test.each([undefined, class {}])('a browser that cannot observe says what it knows all the same', (old) => {
  vi.stubGlobal('PerformanceObserver', old);
  start(['vitals']);
  hide();
  expect(told()).toEqual(['TTFB 12 good']);
});

test('what was stopped hears nothing more', () => {
  start(['vitals']);
  news();
  for (const stop of undo.splice(0)) stop();
  expect(Observer.all.size).toBe(0);
  hide();
  restore();
  expect(told()).toEqual([]);
});

test('while the page loads, it is left alone', () => {
  vi.spyOn(document, 'readyState', 'get').mockReturnValue('loading');
  start(['vitals']);
  expect(told()).toEqual([]);
  fire(window, 'load');
  expect(told()).toEqual(['TTFB 12 good']);
});
