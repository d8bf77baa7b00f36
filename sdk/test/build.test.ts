// @vitest-environment node
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { assets, bundle, script, scripts } from '../scripts/build.js';
import { getQueueLength, initTracking, shutdown, trackEvent } from '../src/index.js';
import { SDK } from '../src/tracking.js';

const KiB = 1024;
const gzipped = (text: string) => gzipSync(text, { level: 9 }).length;

test.each(Object.keys(scripts))('the collector’s %s is the one built from this source', async (name) => {
  const fresh = readFileSync(`${assets}/${name}`, 'utf8') === (await script(name));
  expect(fresh, 'stale: run `npm run build` and commit').toBe(true);
});

test.each([
  ['the whole script', 10, () => script()],
  ['the overlay', 2, () => script('sdk-overlay.js')],
  [
    'the core, without anything automatic',
    3.25,
    () => bundle({ contents: "import { initCore } from './src/core.js'; initCore({ apiKey: 'k' })" }),
  ],
  [
    'a module that only tracks',
    0.25,
    () => bundle({ contents: "import { trackEvent } from './src/index.js'; trackEvent('x')" }),
  ],
])('%s is at most %s KiB gzipped', async (_, budget, build) => {
  expect(gzipped(await build())).toBeLessThanOrEqual(budget * KiB);
});

test('the script is one that ES2019 browsers can read', async () => {
  const text = await script();
  expect(await bundle({ contents: text }, { minify: false, target: 'es2019' })).not.toMatch(/\?\.|\?\?/);
  expect(text).not.toMatch(/\?\.[a-z[(]|\?\?=?/);
});

test('events carry the version of the package', () => {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  expect(SDK).toBe(`maidian-js/${version}`);
});

test('on a server, without a page, every function is harmless', () => {
  expect(initTracking({ apiKey: 'wk_1' })).toBeUndefined();
  trackEvent('x');
  expect(getQueueLength()).toBe(1);
  shutdown();
});
