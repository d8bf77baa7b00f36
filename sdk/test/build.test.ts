// @vitest-environment node
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { assets, bundle, script, scripts } from '../scripts/build.js';
import { files, parts, sizeOf, sizeOfFile } from '../scripts/sizes.js';
import { getQueueLength, initTracking, shutdown, trackEvent } from '../src/index.js';
import { SDK } from '../src/tracking.js';

test.each(Object.keys(scripts))('the collector’s %s is the one built from this source', async (name) => {
  const fresh = readFileSync(`${assets}/${name}`, 'utf8') === (await script(name));
  expect(fresh, 'stale: run `npm run build` and commit').toBe(true);
});

test.each(parts)('$part: at most $budget KiB', async (part) => {
  expect(await sizeOf(part)).toBeLessThanOrEqual(part.budget);
});

test.each(files)('%s by itself is small', async (file) => {
  expect(await sizeOfFile(file)).toBeLessThanOrEqual(/capture|feature/.test(file) ? 0.7 : 1.1);
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
