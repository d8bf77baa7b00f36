import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import {
  type Fields,
  forceFlush,
  getQueueLength,
  getSessionId,
  getTracking,
  initTracking,
  type Options,
  setUserId,
  shutdown,
  trackEvent,
  trackPageView,
} from '../src/index.js';
import { uuid } from '../src/uuid.js';
import { fakeCollector } from './collector.js';

let collector: ReturnType<typeof fakeCollector>;
let seen: [string, Fields][];

const init = (options: Partial<Options> = {}) => {
  const tracking = initTracking({ apiKey: 'wk_1', apiUrl: 'https://c.example', autoTrack: false, ...options });
  tracking?.watch((fate, events) => events.forEach((event) => seen.push([fate, event])));
  return tracking;
};
const queued = () => seen.filter(([fate]) => fate === 'queued').map(([, event]) => event);

beforeEach(() => {
  localStorage.clear();
  collector = fakeCollector();
  seen = [];
  document.title = 'Start';
});
afterEach(() => {
  shutdown();
  vi.unstubAllGlobals();
});

test('an event says what, when, who, and where', async () => {
  init({ userId: 42 });
  trackEvent('purchase', { amount: 9.5, properties: { gift: true } });
  expect(await forceFlush()).toBe(true);
  const [event] = collector.stored.values();
  expect(event).toMatchObject({
    event_type: 'purchase',
    user_id: '42',
    session_id: getSessionId(),
    page_url: location.href,
    page_title: 'Start',
    sdk: expect.stringMatching(/^maidian-js\/\d/),
    amount: 9.5,
    properties: { gift: true },
  });
  expect(event.anonymous_id).toMatch(/^[0-9a-f-]{36}$/);
  expect(Math.abs(Number(event.timestamp) - Date.now())).toBeLessThan(60_000);
  expect(getQueueLength()).toBe(0);
});

test('what is tracked before the start is kept with its time', async () => {
  const early = Date.now() - 60_000;
  vi.setSystemTime(early);
  trackEvent('early');
  expect(getQueueLength()).toBe(1);
  vi.setSystemTime(early + 7000);
  init();
  trackPageView({ page_title: 'Step 2' });
  vi.useRealTimers();
  await forceFlush();
  expect([...collector.stored.values()]).toMatchObject([
    { event_type: 'early', timestamp: early },
    { event_type: 'page_view', timestamp: early + 7000, page_title: 'Step 2' },
  ]);
});

test('the user is known from the call on, on later visits too, until forgotten', () => {
  init();
  trackEvent('a');
  setUserId('ann');
  trackEvent('b');
  shutdown();
  init();
  trackEvent('c');
  setUserId(null);
  trackEvent('d');
  expect(queued().map((event) => event.user_id)).toEqual([undefined, 'ann', 'ann', undefined]);
  expect(new Set(queued().map((event) => event.anonymous_id)).size).toBe(1);
});

test('a session id of the page’s own is used as it is', () => {
  init({ sessionId: 'server-7' });
  trackEvent('a');
  expect([getSessionId(), queued()[0].session_id]).toEqual(['server-7', 'server-7']);
});

test('a second start changes nothing', () => {
  const first = init();
  expect(initTracking({ apiKey: 'wk_2' })).toBe(first);
  expect(getTracking()).toBe(first);
});

test('a choice of captures leaves the others on', () => {
  init({ autoTrack: { pageViews: false } });
  document.body.innerHTML = '<button>x</button>';
  document.querySelector('button')?.click();
  expect(queued().map((event) => event.event_type)).toEqual(['click']);
});

test('nothing is thrown into the page', () => {
  init();
  const loop: Fields = {};
  loop.loop = loop;
  trackEvent('loop', loop);
  trackEvent('big', { n: 1n });
  trackEvent('null', null as unknown as Fields);
  getTracking()?.watch(() => {
    throw new Error('the watcher’s own');
  });
  trackEvent('fine');
  expect(queued().map((event) => event.event_type)).toEqual(['null', 'fine']);
});

test('a broken start is silent too', () => {
  vi.stubGlobal('localStorage', undefined);
  vi.stubGlobal('crypto', undefined);
  expect(() => {
    init({ autoTrack: true });
    trackEvent('x');
  }).not.toThrow();
});

test('debug says what becomes of each event; without it nothing is printed', async () => {
  const log = vi.spyOn(console, 'log').mockImplementation(() => {});
  init();
  trackEvent('quiet');
  await forceFlush();
  expect(log).not.toHaveBeenCalled();
  shutdown();
  init({ debug: true });
  trackEvent('loud');
  await forceFlush();
  const lines = log.mock.calls.map((words) => words.join(' ').trim());
  expect(lines).toEqual(['[maidian] queued loud', '[maidian] sending loud', '[maidian] confirmed loud']);
});

test('something unreadable in the store stops neither debugging nor sending', async () => {
  localStorage.setItem(`md.q.wk_1.${uuid()}`, '{"broken');
  vi.spyOn(console, 'log').mockImplementation(() => {});
  vi.stubGlobal('fetch', async (_: string, { body }: { body: string }) => {
    try {
      return new Response(JSON.stringify({ accepted: JSON.parse(body).events.length }));
    } catch {
      return new Response('{"error":{}}', { status: 400 });
    }
  });
  init({ debug: true });
  trackEvent('fine');
  expect(await forceFlush()).toBe(true);
  expect(seen.map(([fate, event]) => `${fate} ${event.event_type}`)).toContain('confirmed fine');
});

test('a page that is only prepared was not visited', () => {
  Object.assign(document, { prerendering: true });
  init({ autoTrack: true });
  expect(queued()).toEqual([]);
  Object.assign(document, { prerendering: false });
  document.dispatchEvent(new Event('prerenderingchange'));
  expect(queued().map((event) => event.event_type)).toEqual(['page_view']);
});

test('what the captures say when the page is left goes out with it', async () => {
  init({ autoTrack: true });
  await forceFlush();
  window.dispatchEvent(new Event('pagehide'));
  expect(collector.requests.at(-1)?.batch.events.map((event) => event.event_type)).toEqual(['page_leave']);
});
