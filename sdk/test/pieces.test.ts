import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { captures } from '../src/captures.js';
import { forceFlush, initCore, shutdown } from '../src/core.js';
import * as features from '../src/features.js';
import { fakeCollector } from './collector.js';

beforeEach(() => localStorage.clear());
afterEach(() => {
  shutdown();
  vi.unstubAllGlobals();
});

test('the core with a few pieces does what these do, and nothing else', async () => {
  const collector = fakeCollector();
  const { autoTrack, clicks, pages, pageViews } = features;
  document.body.innerHTML = '<button type="button">x</button><form></form>';
  initCore({ apiKey: 'wk_1', apiUrl: 'https://c.example' }, [pages, autoTrack([pageViews, clicks])]);
  document.querySelector('button')?.click();
  document.querySelector('form')?.dispatchEvent(new Event('submit', { bubbles: true }));
  expect(await forceFlush()).toBe(true);
  const events = [...collector.stored.values()];
  expect(events.map(({ event_type }) => event_type)).toEqual(['page_view', 'click']);
  expect(events[0].page_url).toBe(location.href);
});

test('every capture and every feature is there', () => {
  expect(features).toMatchObject(captures);
  const folder = join(import.meta.dirname, '../src/feature');
  for (const name of readdirSync(folder)) {
    const [, feature] =
      /export const (\w+)(: Feature| =\n {2}\(captures)/.exec(readFileSync(join(folder, name), 'utf8')) ?? [];
    if (feature) expect(features).toHaveProperty(feature);
  }
  expect(Object.keys(features).length).toBeGreaterThan(Object.keys(captures).length + 10);
});
