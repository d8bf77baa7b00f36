import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type Fields, forceFlush, initTracking, shutdown, trackEvent } from '../src/index.js';
import { openOverlay } from '../src/overlay.js';
import { fakeCollector } from './collector.js';

const host = () => document.querySelector('maidian-debug');
const root = () => host()?.shadowRoot;
const rows = () => [...(root()?.querySelectorAll('li') ?? [])];
const words = (row: Element) => [
  row.querySelector('summary span')?.textContent,
  row.querySelector('em')?.textContent,
  row.querySelector('.why')?.textContent,
];
const counts = () => root()?.querySelector('p')?.textContent;
const event = (n: number): Fields => ({ event_id: `e-${n}`, event_type: `type ${n}`, timestamp: Date.now() });

beforeEach(() => {
  localStorage.clear();
});
afterEach(() => {
  shutdown();
  host()?.remove();
  history.replaceState(null, '', '/start');
  vi.unstubAllGlobals();
});

test('each event has a row, newest first, with what became of it and why', () => {
  const { show } = openOverlay();
  show('queued', [event(1)]);
  show('queued', [event(2)]);
  show('queued', [event(3)]);
  show('sending', [event(1), event(2)]);
  show('confirmed', [event(1)]);
  show('rejected', [event(2)], 'properties.amount must be 0 or more');
  expect(rows().map(words)).toEqual([
    ['type 3', 'queued', ''],
    ['type 2', 'rejected', 'properties.amount must be 0 or more'],
    ['type 1', 'confirmed', ''],
  ]);
  expect(counts()).toBe('1 waiting · 1 confirmed · 1 rejected · 0 dropped');
  show('waiting', [event(3)], 'status 503, next try in 4 s');
  expect(words(rows()[0])).toEqual(['type 3', 'waiting', 'status 503, next try in 4 s']);
  show('dropped', [event(3)], 'full');
  expect(counts()).toBe('0 waiting · 1 confirmed · 1 rejected · 1 dropped');
});

test('an opened row shows the event’s fields', () => {
  openOverlay().show('queued', [{ ...event(1), properties: { html: '<b>bold</b>' } }]);
  expect(JSON.parse(rows()[0].querySelector('pre')?.textContent ?? '')).toMatchObject({
    event_id: 'e-1',
    properties: { html: '<b>bold</b>' },
  });
  expect(root()?.querySelector('pre b')).toBeNull();
});

test('only the latest 200 stand there, and all are counted', () => {
  const { show } = openOverlay();
  for (let n = 0; n < 250; n++) show('queued', [event(n)]);
  expect(rows()).toHaveLength(200);
  expect(words(rows()[199])[0]).toBe('type 50');
  expect(counts()).toMatch(/^250 waiting/);
});

test('it can be closed, by the visitor and by the SDK', () => {
  openOverlay();
  root()?.querySelector('button')?.click();
  expect(host()).toBeNull();
  openOverlay().close();
  expect(host()).toBeNull();
});

test.each(['/start', '/start?maidian_debug=0', '/start?maidian_debug=10', '/start?x=maidian_debug=1'])(
  'nobody sees it at %s',
  async (address) => {
    fakeCollector();
    history.replaceState(null, '', address);
    initTracking({ apiKey: 'wk_1', apiUrl: 'https://c.example', autoTrack: false });
    trackEvent('a');
    await forceFlush();
    expect(host()).toBeNull();
  },
);

test('the address opens it, with what happened before it was there, and nothing in it is tracked', async () => {
  const collector = fakeCollector();
  history.replaceState(null, '', '/start?a=1&maidian_debug=1');
  trackEvent('early');
  initTracking({ apiKey: 'wk_1', apiUrl: 'https://c.example' });
  await vi.waitFor(() =>
    expect(rows().map((row) => words(row)[0])).toEqual(expect.arrayContaining(['early', 'page_view'])),
  );
  root()
    ?.querySelector('summary')
    ?.dispatchEvent(new MouseEvent('click', { bubbles: true, composed: true }));
  expect(await forceFlush()).toBe(true);
  await vi.waitFor(() => expect(rows().map((row) => words(row)[1])).toEqual(['confirmed', 'confirmed']));
  expect([...collector.stored.values()].map(({ event_type }) => event_type).sort()).toEqual(['early', 'page_view']);
  shutdown();
  await vi.waitFor(() => expect(host()).toBeNull());
});
