import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { eventually, openBrowser, type StoredEvent, startSite } from './harness.js';
import { judge } from './judge.js';
import { html, type Lane, type Made, openLane, openWalk, takeWalk, type Walk } from './walk.js';
import { startWeather } from './weather.js';

/** Which walks: WALKS of them (30 if nothing is said), from SEED on (1). `SEED=17,181 WALKS=1` takes these two again. */
const { SEED = '1', WALKS = '30' } = process.env;
const seeds = SEED.split(',').flatMap((first) => Array.from({ length: Number(WALKS) }, (_, i) => Number(first) + i));
const began = Date.now();
const analytics = `${inject('query')}/api/v1/analytics`;

let browser: Browser;
let weather: Awaited<ReturnType<typeof startWeather>>;
let site: Awaited<ReturnType<typeof startSite>>;
let project: { write_key: string; read_key: string };
const lanes: Lane[] = []; // those in which nobody walks at the moment
const total = {
  seconds: 0,
  walks: 0,
  made: 0,
  stored: 0,
  dropped: {} as Record<string, number>,
  requests: {} as Record<string, number>,
};

const read = async (path: string) => {
  const answer = await fetch(`${analytics}/${path}`, { headers: { 'X-API-Key': project.read_key } });
  const text = await answer.text();
  expect(answer.status, text).toBe(200);
  return text;
};
/** All that is stored of a visitor: as everybody whom the device was told to be, and as nobody known. */
const storedOf = async ({ made }: Walk): Promise<StoredEvent[]> => {
  const whose = (event: Made | StoredEvent) => event.user_id ?? event.anonymous_id;
  const rows: StoredEvent[] = [];
  for (const id of new Set([...made.values()].map(whose))) {
    const lines = await read(`export?format=ndjson&days=20&user_id=${encodeURIComponent(id as string)}`);
    const events: StoredEvent[] = lines
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line));
    rows.push(...events.filter((event) => whose(event) === id)); // the others belong to the same person by another id
  }
  return rows;
};
/** The same, once all of it should be there: events take a moment from the collector to the query service. */
const arrived = async (walk: Walk): Promise<StoredEvent[]> => {
  for (const until = Date.now() + 15_000; ; await new Promise((soon) => setTimeout(soon, 100))) {
    const stored = await storedOf(walk);
    const there = new Set(stored.map(({ event_id }) => event_id));
    if (Date.now() > until || [...walk.made.keys()].every((id) => there.has(id) || walk.lost.has(id))) return stored;
  }
};

beforeAll(async () => {
  const made = await fetch(`${inject('query')}/api/v1/admin/projects`, {
    method: 'POST',
    headers: { 'X-API-Key': 'ak_demo', 'Content-Type': 'application/json' },
    body: JSON.stringify({ name: 'walks' }),
  });
  expect(made.status).toBe(201);
  project = await made.json();
  weather = await startWeather(new URL(inject('collector')));
  site = await startSite((path) => {
    if (path === '/blank') return '';
    const [, name] = path.split('/');
    const seed = Number(name.slice(1));
    const options = { flushInterval: [50, 150, 400][seed % 3], batchSize: [3, 10, 20, 60][seed % 4] };
    return html(weather.url, name, project.write_key, options);
  });
  const oneProcess = ['--process-per-site', '--renderer-process-limit=1', '--disable-site-isolation-trials'];
  browser = await openBrowser({ args: oneProcess });
});
afterAll(async () => {
  await browser?.close();
  await site?.stop();
  await weather?.stop();
  total.seconds = Math.round((Date.now() - began) / 1000);
  console.log(JSON.stringify(total, null, 2));
});

const add = (to: Record<string, number>, name: string, n = 1) => {
  to[name] = (to[name] ?? 0) + n;
};

const count = (walk: Walk, stored: StoredEvent[]) => {
  total.walks++;
  total.made += walk.made.size;
  total.stored += stored.length;
  for (const { why } of walk.lost.values()) add(total.dropped, why);
  for (const [name, n] of Object.entries(walk.sky.met)) add(total.requests, name, n);
};

/** A walk that comes to no end is to tell its story too. */
const within = (ms: number, walk: Promise<void>) => {
  let timer: NodeJS.Timeout;
  const late = new Promise<void>((_, fail) => {
    timer = setTimeout(fail, ms, new Error(`the walk did not end within ${ms} ms`));
  });
  return Promise.race([walk, late]).finally(() => clearTimeout(timer));
};

describe.concurrent('of what a visitor does, everything is stored once and unaltered, or reported as dropped', () => {
  test.each(seeds)(
    'walk %i',
    async (seed) => {
      const walk = openWalk(seed);
      weather.skies.set(`w${seed}`, walk.sky);
      const lane = lanes.pop() ?? (await openLane(browser, `${site.url}/blank`));
      try {
        await within(120_000, takeWalk(walk, `${site.url}/w${seed}`, lane));
        lanes.push(lane);
        const stored = await arrived(walk);
        const wrong = judge(walk, stored);
        if (wrong.length) throw new Error(wrong.join('\n'));
        count(walk, stored);
      } catch (error) {
        console.error(`SEED=${seed} WALKS=1\n${walk.story.join('\n')}\n${error}`);
        throw error;
      }
    },
    300_000,
  );
});

test('the accounting says the same of all of them together', async () => {
  const told = { stored: total.stored, dropped_by_sdk: total.dropped, dead_lettered: 0, queued: 0, difference: 0 };
  const said = async () => JSON.parse(await read('accounting?days=2'));
  await eventually(said, ({ stored, dropped_by_sdk, dead_lettered, queued, difference }) =>
    expect({ stored, dropped_by_sdk, dead_lettered, queued, difference }).toEqual(told),
  );
});
