import { act, createElement, StrictMode, useEffect, useState } from 'react';
import { createRoot, hydrateRoot, type Root } from 'react-dom/client';
import { renderToString } from 'react-dom/server';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type Fields, forceFlush, getTracking, shutdown, trackEvent } from '../src/index.js';
import { MaidianProvider, useIdentify, useTrackEvent, useTracking } from '../src/react.js';
import { fakeCollector } from './collector.js';

const options = { apiKey: 'wk_1', apiUrl: 'https://c.example', autoTrack: { leave: false } };

let collector: ReturnType<typeof fakeCollector>;
let root: Root | undefined;
let place: HTMLElement;

const provided = (child: Parameters<typeof createElement>[0], props = {}) =>
  createElement(StrictMode, null, createElement(MaidianProvider, { options }, createElement(child, props)));
const show = (child: Parameters<typeof createElement>[0], props = {}) => {
  root ??= createRoot(place);
  act(() => root?.render(provided(child, props)));
};
const arrived = async (): Promise<Fields[]> => {
  await forceFlush();
  return [...collector.stored.values()];
};
const click = () => act(() => place.querySelector('button')?.click());

beforeEach(() => {
  vi.stubGlobal('IS_REACT_ACT_ENVIRONMENT', true);
  localStorage.clear();
  collector = fakeCollector();
  place = document.body.appendChild(document.createElement('div'));
});
afterEach(() => {
  act(() => root?.unmount());
  root = undefined;
  place.remove();
  shutdown();
  vi.unstubAllGlobals();
});

test('the provider starts tracking once, however often React mounts it', async () => {
  const seen: unknown[] = [];
  const Page = () => {
    seen.push(useTracking());
    return null;
  };
  show(Page);
  expect(seen[0]).toBeUndefined();
  expect(seen.at(-1)).toBe(getTracking());
  expect(getTracking()).toBeDefined();
  expect((await arrived()).map(({ event_type }) => event_type)).toEqual(['page_view']);
});

test('what is inside may track before the provider has started', async () => {
  const Page = () => {
    useEffect(() => trackEvent('shown'), []);
    return null;
  };
  root = createRoot(place);
  act(() => root?.render(createElement(MaidianProvider, { options }, createElement(Page))));
  expect((await arrived()).map(({ event_type }) => event_type)).toContain('shown');
});

test('a callback stays the same and tracks with the fields of the last rendering', async () => {
  const callbacks = new Set<unknown>();
  const Counter = () => {
    const [n, setN] = useState(0);
    const track = useTrackEvent('counted', { properties: { n } });
    callbacks.add(track);
    useEffect(() => setN((now) => Math.min(now + 1, 3)));
    return createElement('button', { type: 'button', onClick: track, 'data-no-track': true });
  };
  show(Counter);
  callbacks.clear();
  click();
  show(Counter);
  click();
  expect(callbacks.size).toBe(1);
  const counted = (await arrived()).filter(({ event_type }) => event_type === 'counted');
  expect(counted.map(({ properties }) => properties?.n)).toEqual([3, 3]);
});

test('who the visitor is is said once, and forgotten when it is nobody', async () => {
  const Account = ({ user }: { user?: string | null }) => {
    useIdentify(user, { plan: 'pro' });
    return null;
  };
  show(Account, { user: 'ann' });
  show(Account, { user: 'ann' });
  trackEvent('a');
  show(Account, { user: undefined });
  trackEvent('b');
  show(Account, { user: null });
  trackEvent('c');
  const events = await arrived();
  const said = events.filter(({ event_type }) => event_type === '$identify');
  expect(said).toMatchObject([{ user_id: 'ann', properties: { plan: 'pro' } }]);
  const users = ['a', 'b', 'c'].map((type) => events.find(({ event_type }) => event_type === type)?.user_id);
  expect(users).toEqual(['ann', 'ann', undefined]);
});

test('a page made on a server is the same there, and starts tracking in the browser only', async () => {
  const Page = () => createElement('p', null, useTracking() ? 'tracked' : 'not yet');
  vi.stubGlobal('document', undefined);
  const html = renderToString(provided(Page));
  vi.unstubAllGlobals();
  vi.stubGlobal('IS_REACT_ACT_ENVIRONMENT', true);
  collector = fakeCollector();
  expect(getTracking()).toBeUndefined();
  expect(html).toBe('<p>not yet</p>');
  place.innerHTML = html;
  const complain = vi.spyOn(console, 'error');
  act(() => {
    root = hydrateRoot(place, provided(Page));
  });
  expect(complain).not.toHaveBeenCalled();
  expect(place.textContent).toBe('tracked');
});
