// @vitest-environment node
import { webcrypto } from 'node:crypto';
import { createContext, runInContext } from 'node:vm';
import { build } from 'esbuild';
import { beforeAll, expect, test } from 'vitest';
import { sdk } from '../scripts/build.js';

/** A page with its own built-ins, which it can spoil without spoiling those of the browser around it, or of the test. */
const openPage = () => {
  const bodies: string[] = [];
  const errors: unknown[] = [];
  const disk: Record<string, string> = Object.create({
    getItem: (key: string) => disk[key] ?? null,
    setItem: (key: string, value: string) => {
      disk[key] = value;
    },
    removeItem: (key: string) => delete disk[key],
  });
  const fetch = async (_: string, { body }: { body: string }) => {
    bodies.push(body);
    const accepted = JSON.parse(body).events.length;
    return { status: 200, headers: { get: () => null }, text: async () => `{"accepted":${accepted},"rejected":0}` };
  };
  const target = { addEventListener: () => {}, removeEventListener: () => {} };
  const location = {
    href: 'https://shop.example/',
    origin: 'https://shop.example',
    pathname: '/',
    search: '',
    hash: '',
  };
  const page = createContext({
    ...{ fetch, localStorage: disk, location, crypto: webcrypto, setTimeout, clearTimeout, TextEncoder, URL },
    ...{ AbortSignal, Request: class {}, navigator: {}, screen: {}, history: {}, performance, ...target },
    innerWidth: 0,
    innerHeight: 0,
    document: { ...target, title: '', referrer: '', visibilityState: 'visible', readyState: 'complete' },
    heard: (error: unknown) => errors.push(error),
  });
  const run = (code: string) => runInContext(code, page);
  run('globalThis.window = globalThis');
  const types = () =>
    bodies.flatMap((body) => JSON.parse(body).events.map((event: { event_type: string }) => event.event_type));
  /** What an asynchronous function answers in there, told by a call: its promise may be spoilt. */
  const ask = (code: string) =>
    new Promise((tell) => {
      Object.assign(page, { tell });
      run(`(async () => tell(String(${code})))()`);
    });
  return { run, ask, types, errors };
};

const spoil = `
  const angry = function () { throw new Error('mine now'); };
  for (const name of Object.getOwnPropertyNames(Array.prototype)) {
    if (name !== 'constructor' && typeof Array.prototype[name] === 'function') Array.prototype[name] = angry;
  }
  JSON.stringify = JSON.parse = angry;
  Promise.prototype.then = Promise.prototype.catch = Promise.prototype.finally = angry;
  Promise = fetch = angry;
  localStorage = indexedDB = undefined;
`;
const core = "initCore({ apiKey: 'wk_1', apiUrl: 'https://c.example' })";
const everything = "initTracking({ apiKey: 'wk_1', apiUrl: 'https://c.example', autoTrack: false, onError: heard })";

let code: string;
beforeAll(async () => {
  const stdin = { contents: "export * from './src/index.js'", resolveDir: sdk };
  const options = { bundle: true, write: false, target: 'es2019', format: 'iife', globalName: 'maidian' } as const;
  const { outputFiles } = await build({ stdin, ...options, external: ['./overlay.js'] });
  code = outputFiles[0].text;
});

test.each([core, everything])('what a page overwrites afterwards loses no event: %s', async (start) => {
  const page = openPage();
  page.run(`${code}; this.maidian = maidian; maidian.${start}; ${spoil}`);
  page.run("maidian.trackEvent('a', { properties: { n: 1 } }); maidian.trackEvent('b')");
  const sent = await page.ask("(await maidian.forceFlush()) + ', left: ' + maidian.getQueueLength()");
  expect([page.errors, sent, page.types()]).toEqual([[], 'true, left: 0', ['a', 'b']]);
});

test.each([core, everything])('a page that has overwritten everything before sees no error: %s', async (start) => {
  const page = openPage();
  page.run(`${spoil}; ${code}; this.maidian = maidian`);
  page.run(`maidian.${start}; maidian.trackEvent('a')`);
  expect(await page.ask('await maidian.forceFlush()')).toMatch(/true|false/);
  page.run('maidian.shutdown()');
});

test('arrays that a page taught to be texts are sent as whatever they are, and the event arrives', async () => {
  const page = openPage();
  page.run(`Array.prototype.toJSON = function () { return 'x'; }; ${code}; this.maidian = maidian; maidian.${core}`);
  page.run("maidian.trackEvent('a', { properties: { list: [1, 2] } })");
  expect(await page.ask('await maidian.forceFlush()')).toBe('true');
  expect(page.types()).toEqual(['a']);
});
