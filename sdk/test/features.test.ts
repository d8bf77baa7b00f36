import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import {
  alias,
  type Fields,
  forceFlush,
  getSessionId,
  getTracking,
  hasOptedOut,
  identify,
  initTracking,
  type Options,
  optIn,
  optOut,
  register,
  registerOnce,
  reset,
  setUserId,
  shutdown,
  timeEvent,
  trackEvent,
  unregister,
} from '../src/index.js';
import { fakeCollector } from './collector.js';

const begin = 1_767_225_600_000;

let collector: ReturnType<typeof fakeCollector>;
let seen: [string, Fields, string?][];

const init = (options: Partial<Options> = {}) => {
  initTracking({ apiKey: 'wk_1', apiUrl: 'https://c.example', autoTrack: false, ...options });
  getTracking()?.watch((fate, events, why) => events.forEach((event) => seen.push([fate, event, why])));
};
const queued = () => seen.filter(([fate]) => fate === 'queued').map(([, event]) => event);
const last = () => queued()[queued().length - 1];
const arrived = async () => {
  const flushed = forceFlush();
  await vi.advanceTimersByTimeAsync(200);
  await flushed;
  return [...collector.stored.values()];
};
const stored = () => Object.keys(localStorage).filter((key) => key.startsWith('md.'));
const browserSays = (what: object) => {
  for (const [name, value] of Object.entries(what)) {
    Object.defineProperty(navigator, name, { value, configurable: true });
  }
};

beforeEach(() => {
  vi.useFakeTimers({ now: begin });
  localStorage.clear();
  for (const cookie of document.cookie.split('; ')) {
    // biome-ignore lint/suspicious/noDocumentCookie: that is what is tested
    document.cookie = `${cookie.split('=')[0]}=;domain=shop.example;path=/;max-age=0`;
  }
  history.replaceState({}, '', '/start');
  collector = fakeCollector();
  seen = [];
});
afterEach(() => {
  shutdown();
  browserSays({ doNotTrack: undefined, globalPrivacyControl: undefined });
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test('each event has its number, and the one after a drop says what was dropped', async () => {
  init();
  trackEvent('a');
  trackEvent('b', { properties: { text: 'x'.repeat(70_000) } });
  trackEvent('c', { properties: { plan: 'pro' } });
  trackEvent('d');
  expect((await arrived()).map(({ event_type, properties }) => [event_type, properties])).toEqual([
    ['a', { $sequence: 1 }],
    ['c', { $sequence: 3, $dropped: { too_large: 1 }, plan: 'pro' }],
    ['d', { $sequence: 4 }],
  ]);
});

test('identify says who it is once, and again only with something new to tell', () => {
  init();
  identify('ann');
  identify('ann');
  identify('ann', { plan: 'pro' });
  trackEvent('a');
  expect(queued().map(({ event_type, user_id }) => [event_type, user_id])).toEqual([
    ['$identify', 'ann'],
    ['$identify', 'ann'],
    ['a', 'ann'],
  ]);
  expect(queued()[1].properties).toEqual({ plan: 'pro', $sequence: 2 });
  expect(queued()[0].anonymous_id).toBe(queued()[2].anonymous_id);
});

test('alias joins another device to a user, without becoming either, or taking a number', () => {
  init();
  alias('ann', 'kiosk-7');
  trackEvent('a');
  expect(queued()[0]).toMatchObject({ event_type: '$alias', user_id: 'ann', anonymous_id: 'kiosk-7', properties: {} });
  expect(last()).toMatchObject({ event_type: 'a', properties: { $sequence: 1 } });
  expect(last().user_id).toBeUndefined();
});

test('reset makes a stranger; of the same device when that is to be kept', () => {
  init();
  setUserId('ann');
  register({ plan: 'pro' });
  timeEvent('b');
  trackEvent('a');
  reset();
  trackEvent('b');
  reset({ keepDevice: true });
  trackEvent('c');
  const [a, b, c] = queued();
  expect([a.user_id, b.user_id, c.user_id]).toEqual(['ann', undefined, undefined]);
  expect(new Set([a.session_id, b.session_id, c.session_id]).size).toBe(3);
  expect([a.anonymous_id === b.anonymous_id, b.anonymous_id === c.anonymous_id]).toEqual([false, true]);
  expect([a.properties, b.properties, c.properties]).toEqual([
    { plan: 'pro', $sequence: 1 },
    { $sequence: 1 },
    { $sequence: 2 },
  ]);
  expect(b.duration).toBeUndefined();
});

test('registered properties stand on every event, below its own, and on later visits', () => {
  register({ plan: 'free', shop: 1 });
  init();
  registerOnce({ plan: 'other', first: 'mail' });
  trackEvent('a');
  register({ plan: 'pro' });
  unregister('shop');
  shutdown();
  init();
  trackEvent('b', { properties: { first: 'own' } });
  expect(queued().map(({ properties }) => properties)).toEqual([
    { plan: 'free', shop: 1, first: 'mail', $sequence: 1 },
    { plan: 'pro', first: 'own', $sequence: 2 },
  ]);
});

test('timeEvent tells how many seconds went by, once, on the next page too', () => {
  init();
  timeEvent('checkout');
  vi.setSystemTime(begin + 2500);
  shutdown();
  init();
  trackEvent('other');
  trackEvent('checkout');
  trackEvent('checkout');
  expect(queued().map(({ duration }) => duration)).toEqual([undefined, 2.5, undefined]);
});

test('beforeSend changes and drops; what it breaks half-way is sent as it was, and told', () => {
  const errors: unknown[] = [];
  init({
    onError: (error) => errors.push(error),
    beforeSend: (event) => {
      if (event.event_type === 'drop') return null;
      if (event.event_type === 'other') return { ...event, event_type: 'another' };
      event.page_title = 'hidden';
      if (event.properties) event.properties.seen = true;
      if (event.event_type === 'broken') throw new Error('the hook’s own');
      return undefined;
    },
  });
  for (const type of ['drop', 'other', 'changed', 'broken']) trackEvent(type);
  expect(queued().map(({ event_type, page_title, properties }) => [event_type, page_title, properties])).toEqual([
    ['another', document.title, { $sequence: 1 }],
    ['changed', 'hidden', { seen: true, $sequence: 2 }],
    ['broken', document.title, { $sequence: 3 }],
  ]);
  expect(errors).toEqual([new Error('the hook’s own')]);
});

test('onError hears of refused and dropped events; what it throws itself goes nowhere', async () => {
  const errors: string[] = [];
  init({
    onError: (error) => {
      errors.push((error as Error).message);
      throw error;
    },
  });
  collector.answer(({ events }) => ({
    status: 400,
    json: { rejected: events.length, errors: [{ index: 0, field: 'amount', message: 'must be 0 or more' }] },
  }));
  trackEvent('bad');
  trackEvent('large', { text: 'x'.repeat(70_000) });
  await arrived();
  expect(errors).toEqual(['dropped large: too_large', 'rejected bad: amount must be 0 or more']);
});

test('another campaign is another visit; the same one, or none, is not', () => {
  const visit = (query: string) => {
    history.replaceState({}, '', `/start${query}`);
    init();
    const id = getSessionId();
    shutdown();
    return id;
  };
  const direct = visit('');
  const mail = visit('?utm_source=mail&utm_campaign=may');
  expect(visit('?utm_source=mail&utm_campaign=may&page=2')).toBe(mail);
  expect(visit('?page=3')).toBe(mail);
  const ad = visit('?gclid=abc');
  expect(new Set([direct, mail, ad]).size).toBe(3);
});

test('until there is consent events wait in memory; then they go out, and the browser is known', async () => {
  init({ consent: 'pending' });
  trackEvent('a');
  getTracking()?.flushOnHide();
  window.dispatchEvent(new Event('online'));
  await vi.advanceTimersByTimeAsync(60_000);
  expect([collector.requests, stored(), hasOptedOut()]).toEqual([[], [], false]);
  optIn();
  await vi.advanceTimersByTimeAsync(200);
  trackEvent('b');
  const [a, b] = await arrived();
  expect([a.event_type, b.event_type, a.anonymous_id === b.anonymous_id]).toEqual(['a', 'b', true]);
  shutdown();
  init({ consent: 'pending' });
  trackEvent('c');
  expect((await arrived()).map(({ anonymous_id }) => anonymous_id)).toEqual(Array(3).fill(a.anonymous_id));
});

test('a no clears what waited and was kept, and holds on later visits', async () => {
  localStorage.setItem('md.theme', 'the page’s own');
  init();
  trackEvent('a');
  optOut();
  trackEvent('b');
  expect(await arrived()).toEqual([]);
  shutdown();
  init({ consent: 'granted' });
  trackEvent('c');
  expect(await arrived()).toEqual([]);
  expect([stored().sort(), hasOptedOut()]).toEqual([['md.consent', 'md.theme'], true]);
  optIn();
  trackEvent('d');
  expect((await arrived()).map(({ event_type }) => event_type)).toEqual(['d']);
});

test('a no in another tab is a no in this one', async () => {
  init();
  trackEvent('a');
  window.dispatchEvent(new StorageEvent('storage', { key: 'md.consent', newValue: 'denied' }));
  trackEvent('b');
  expect([await arrived(), hasOptedOut()]).toEqual([[], true]);
});

test.each([{ doNotTrack: '1' }, { globalPrivacyControl: true }])(
  'a browser that says %o is not tracked',
  async (no) => {
    browserSays(no);
    init();
    trackEvent('a');
    optIn();
    trackEvent('b');
    expect([await arrived(), stored().filter((key) => key !== 'md.consent'), hasOptedOut()]).toEqual([[], [], true]);
    shutdown();
    init({ respectDnt: false });
    trackEvent('c');
    expect((await arrived()).map(({ event_type }) => event_type)).toEqual(['c']);
  },
);

test('cookieless: everything arrives and nothing at all is kept', async () => {
  init({ cookieless: true, cookieDomain: 'shop.example' });
  register({ plan: 'pro' });
  trackEvent('a');
  trackEvent('b');
  const [a, b] = await arrived();
  expect(a).toMatchObject({ anonymous_id: b.anonymous_id, session_id: b.session_id, properties: { plan: 'pro' } });
  expect([stored(), document.cookie]).toEqual([[], '']);
});

test('subdomains share who the visitor is by cookies', () => {
  init({ cookieDomain: 'shop.example', userId: 'ann, the first; = %' });
  trackEvent('a');
  shutdown();
  localStorage.clear(); // each subdomain has its own
  init({ cookieDomain: 'shop.example' });
  trackEvent('b');
  const [a, b] = queued();
  expect(b).toMatchObject({ anonymous_id: a.anonymous_id, session_id: a.session_id, user_id: 'ann, the first; = %' });
  expect([a.properties, b.properties]).toEqual([{ $sequence: 1 }, { $sequence: 2 }]);
  setUserId(null);
  shutdown();
  init({ cookieDomain: 'shop.example' });
  trackEvent('c');
  expect(last().user_id).toBeUndefined();
});

test('where cookies are refused, the store keeps who the visitor is', () => {
  vi.spyOn(document, 'cookie', 'get').mockReturnValue('');
  init({ cookieDomain: 'shop.example' });
  trackEvent('a');
  shutdown();
  init({ cookieDomain: 'shop.example' });
  trackEvent('b');
  expect(queued()[0].anonymous_id).toBe(queued()[1].anonymous_id);
});
