import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { openBrowser, type StoredEvent, startSite } from './harness.js';
import { html, judge, type Lane, openLane, openWalk, takeWalk, type Walk } from './walk.js';
import { startWeather } from './weather.js';

/** Which walks: WALKS of them (30 if nothing is said), from SEED on (1). `SEED=17 WALKS=1` takes the 17th again. */
const first = Number(process.env.SEED ?? 1);
const seeds = Array.from({ length: Number(process.env.WALKS ?? 30) }, (_, i) => first + i);
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
  lost: {} as Record<string, number>,
  requests: {} as Record<string, number>,
};

const read = async (path: string) => {
  const answer = await fetch(`${analytics}/${path}`, { headers: { 'X-API-Key': project.read_key } });
  const text = await answer.text();
  expect(answer.status, text).toBe(200);
  return text;
};
/** All that is stored of a visitor, whatever their browser's id was. */
const storedOf = async ({ made }: Walk): Promise<StoredEvent[]> => {
  const devices = new Set([...made.values()].map(({ anonymous_id }) => anonymous_id));
  const rows = new Map<string, StoredEvent>();
  for (const device of devices) {
    const lines = await read(`export?format=ndjson&days=20&user_id=${encodeURIComponent(device)}`);
    for (const line of lines.split('\n').filter(Boolean)) {
      const event = JSON.parse(line);
      rows.set(`${event.batch_id}/${event.position}/${event.event_id}`, event);
    }
  }
  return [...rows.values()];
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
  for (const { fate, why } of walk.lost.values()) add(total.lost, `${fate}: ${why}`);
  for (const [name, n] of Object.entries(walk.sky.met)) add(total.requests, name, n);
};

describe.concurrent('of what a visitor does, everything is stored once and unaltered, or reported as dropped', () => {
  test.each(seeds)(
    'walk %i',
    async (seed) => {
      const walk = openWalk(seed);
      weather.skies.set(`w${seed}`, walk.sky);
      const lane = lanes.pop() ?? (await openLane(browser, `${site.url}/blank`));
      try {
        await takeWalk(walk, `${site.url}/w${seed}`, lane);
        lanes.push(lane);
        const stored = await arrived(walk);
        expect(judge(walk, stored).join('\n')).toBe('');
        count(walk, stored);
      } catch (error) {
        console.error(`SEED=${seed} WALKS=1\n${walk.story.join('\n')}\n${error}`);
        throw error;
      }
    },
    300_000,
  );
});
