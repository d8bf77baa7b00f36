// @vitest-environment node
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { bundle } from '../scripts/build.js';
import { type Fields, Maidian, type Options, type Problem, SDK } from '../src/node/index.js';

type Reply =
  | { status: number; json?: unknown; retryAfter?: number | string }
  | 'cut'
  | 'silent' // takes the request and never answers
  | 'lost'; // stores, and then the connection breaks

/** A collector on a port of its own, that answers as the test says. */
const startCollector = async () => {
  const stored = new Map<string, Fields>();
  const requests: { events: Fields[]; headers: IncomingMessage['headers']; at: number }[] = [];
  let copies = 0;
  let reply: (events: Fields[]) => Reply = () => ({ status: 200 });
  let refuses = (_: Fields) => false;

  /** Stores what it takes, and accounts for the batch. */
  const store = (events: Fields[]) => {
    const errors: object[] = [];
    events.forEach((event, index) => {
      if (refuses(event)) errors.push({ index, code: 'no', field: 'n', message: 'not this one' });
      else if (stored.has(String(event.event_id))) copies++;
      else stored.set(String(event.event_id), event);
    });
    return { accepted: events.length - errors.length, rejected: errors.length, errors };
  };
  const answer = (response: ServerResponse, events: Fields[]) => {
    const how = reply(events);
    if (how === 'silent') return;
    if (how === 'lost') store(events);
    if (how === 'lost' || how === 'cut') return response.destroy();
    const json = how.json ?? (how.status === 200 ? store(events) : {});
    const headers = how.retryAfter === undefined ? {} : { 'Retry-After': how.retryAfter };
    response.writeHead(how.status, headers).end(typeof json === 'string' ? json : JSON.stringify(json));
  };
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      const sent = Buffer.concat(chunks);
      const body = `${request.headers['content-encoding'] === 'gzip' ? gunzipSync(sent) : sent}`;
      const { events } = JSON.parse(body);
      requests.push({ events, headers: request.headers, at: performance.now() });
      answer(response, events);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stored,
    requests,
    copies: () => copies,
    sizes: () => requests.map(({ events }) => events.length),
    answer: (how: typeof reply) => {
      reply = how;
    },
    refuse: (which: typeof refuses) => {
      refuses = which;
    },
    stop: () => {
      server.closeAllConnections();
      server.close();
    },
  };
};

let collector: Awaited<ReturnType<typeof startCollector>>;
let problems: Problem[];

const open = (options: Partial<Options> = {}) =>
  new Maidian({
    apiUrl: collector.url,
    apiKey: 'wk_1',
    flushInterval: 10,
    maxRetryWait: 10,
    exitTimeout: 0,
    onError: (problem) => problems.push(problem),
    ...options,
  });
const fill = (maidian: Maidian, from: number, to: number, properties = {}) => {
  for (let n = from; n < to; n++) maidian.track('numbered', { user_id: 'ann', properties: { n, ...properties } });
};
const numbers = () => [...collector.stored.values()].map(({ properties }) => properties?.n as number);
const upTo = (n: number) => Array.from({ length: n }, (_, i) => i);
const of = (fate: Problem['fate']) => problems.filter((problem) => problem.fate === fate);
const lostTo = (events: Iterable<Fields>) => {
  const sum: Record<string, number> = {};
  for (const { properties } of events) {
    for (const [why, n] of Object.entries((properties?.$dropped ?? {}) as Record<string, number>))
      sum[why] = (sum[why] ?? 0) + n;
  }
  return sum;
};

beforeEach(async () => {
  collector = await startCollector();
  problems = [];
});
afterEach(() => {
  collector.stop();
  vi.restoreAllMocks();
});

test('an event says what, when, whose, and who sent it', async () => {
  const maidian = open();
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  maidian.track('purchase', { user_id: 42, anonymous_id: 'device-1', amount: 9.5, properties: { gift: true } });
  maidian.page({ user_id: 'ann', page_url: 'https://shop.example/' });
  expect(maidian.queueLength).toBe(2);
  expect(await maidian.flush()).toBe(true);
  expect(maidian.queueLength).toBe(0);
  const [purchase, page] = collector.stored.values();
  expect(purchase).toEqual({
    event_id: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/),
    event_type: 'purchase',
    timestamp: expect.closeTo(Date.now(), -4),
    user_id: 42,
    anonymous_id: 'device-1',
    amount: 9.5,
    properties: { gift: true },
    sdk: `maidian-node/${version}`,
  });
  expect(page).toMatchObject({ event_type: 'page_view', page_url: 'https://shop.example/' });
  expect(SDK).toBe(`maidian-node/${version}`);
  expect(collector.requests[0].headers).toMatchObject({ 'x-api-key': 'wk_1', 'user-agent': SDK });
  expect(problems).toEqual([]);
});

test('who a device belongs to is said like in a browser', async () => {
  const maidian = open();
  maidian.identify('ann', { plan: 'pro' }, { anonymous_id: 'device-1' });
  maidian.alias('ann', 'device-2');
  await maidian.flush();
  expect([...collector.stored.values()]).toMatchObject([
    { event_type: '$identify', user_id: 'ann', anonymous_id: 'device-1', properties: { plan: 'pro' } },
    { event_type: '$alias', user_id: 'ann', anonymous_id: 'device-2' },
  ]);
});

test('a batchful goes at once, the rest when its time has come, packed and in order', async () => {
  const maidian = open({ batchSize: 20, flushInterval: 20 });
  fill(maidian, 0, 45);
  await vi.waitFor(() => expect(collector.stored.size).toBe(45));
  expect(numbers()).toEqual(upTo(45));
  expect(collector.sizes().length).toBeLessThanOrEqual(2);
  expect(collector.requests[0].headers['content-encoding']).toBe('gzip');
});

test('a small batch is not packed', async () => {
  const maidian = open();
  maidian.track('small');
  await maidian.flush();
  expect(collector.requests[0].headers['content-encoding']).toBeUndefined();
});

test('batches stay below what the collector takes', async () => {
  const maidian = open();
  fill(maidian, 0, 1200);
  fill(maidian, 1200, 1240, { text: 'x'.repeat(60_000) });
  expect(await maidian.flush()).toBe(true);
  expect(numbers()).toEqual(upTo(1240));
  for (const { events } of collector.requests) {
    expect(events.length).toBeLessThanOrEqual(500);
    expect(JSON.stringify(events).length).toBeLessThan(1_000_000);
  }
});

test.each<[string, Reply]>([
  ['503', { status: 503 }],
  ['429', { status: 429 }],
  ['408', { status: 408 }],
  ['401: the key may be put right', { status: 401 }],
  ['a redirect', { status: 302 }],
  ['a cut connection', 'cut'],
  ['an answer that is lost', 'lost'],
  ['no answer in time', 'silent'],
  ['200 from somebody else', { status: 200, json: '<html>' }],
  ['200 that says null', { status: 200, json: 'null' }],
  ['200 that counts too few', { status: 200, json: { accepted: 1 } }],
  ['200 with nonsense', { status: 200, json: { accepted: '5', rejected: {}, errors: null } }],
  ['503 with nonsense', { status: 503, json: { errors: null } }],
])('%s: everything stays and is sent again until it is counted, once', async (_, trouble) => {
  collector.answer(() => (collector.requests.length < 4 ? trouble : { status: 200 }));
  const maidian = open(trouble === 'silent' ? { timeout: 50 } : {});
  fill(maidian, 0, 5);
  expect(await maidian.flush()).toBe(false);
  expect(maidian.queueLength).toBe(5);
  await vi.waitFor(() => expect(maidian.queueLength).toBe(0));
  expect(numbers()).toEqual(upTo(5));
  expect(new Set(collector.requests.map(({ events }) => `${events.map((e) => e.event_id)}`)).size).toBe(1);
  expect(of('waiting')).toHaveLength(3);
  expect(problems).toHaveLength(3);
});

test('what the server asks for is waited, even where waits are short', async () => {
  collector.answer(() => (collector.requests.length < 2 ? { status: 503, retryAfter: 1 } : { status: 200 }));
  const maidian = open();
  fill(maidian, 0, 3);
  await maidian.flush();
  expect(await maidian.flush()).toBe(false); // not even when asked
  await vi.waitFor(() => expect(maidian.queueLength).toBe(0), 5000);
  expect(collector.requests).toHaveLength(2);
  expect(collector.requests[1].at - collector.requests[0].at).toBeGreaterThanOrEqual(1000);
});

test('a batch that is too large for somebody on the way is halved until it fits', async () => {
  collector.answer((events) => ({ status: events.length > 4 ? 413 : 200 }));
  const maidian = open();
  fill(maidian, 0, 30);
  expect(await maidian.flush()).toBe(true);
  expect(numbers()).toEqual(upTo(30));
  expect(collector.copies()).toBe(0);
});

test('one event that nobody takes holds up no other', async () => {
  const bad = (events: Fields[]) => events.some(({ properties }) => properties?.n === 7);
  collector.answer((events) => ({ status: bad(events) ? 400 : 200 }));
  const maidian = open();
  fill(maidian, 0, 20);
  expect(await maidian.flush()).toBe(true);
  expect(numbers()).toEqual(upTo(20).filter((n) => n !== 7));
  expect(problems).toMatchObject([{ fate: 'rejected', why: 'status 400', events: [{ properties: { n: 7 } }] }]);
});

test.each<[string, unknown]>([
  ['errors are no list', { errors: null }],
  ['an error is none', { errors: [null, 7, 'no'] }],
  ['an error names nobody', { errors: [{ index: 99 }, { index: -1 }, { index: 0.5 }, { index: 'a' }] }],
])('a refusal in which %s is narrowed down to events', async (_, json) => {
  collector.answer(() => ({ status: 400, json }));
  const maidian = open();
  fill(maidian, 0, 3);
  expect(await maidian.flush()).toBe(true);
  expect(of('rejected')).toHaveLength(3);
});

test('each refusal is told with its event and its reason', async () => {
  collector.refuse(({ properties }) => properties?.n === 1);
  const maidian = open();
  fill(maidian, 0, 3);
  expect(await maidian.flush()).toBe(true);
  expect(numbers()).toEqual([0, 2]);
  const events = [expect.objectContaining({ event_type: 'numbered', properties: { n: 1 } })];
  expect(problems).toEqual([{ fate: 'rejected', why: 'n not this one', events }]);
});

test('a full queue drops the oldest, says so here, and reports it with the next event', async () => {
  const maidian = open({ maxQueue: 10, batchSize: 1000, flushInterval: 60_000 });
  fill(maidian, 0, 15);
  expect(maidian.queueLength).toBe(10);
  expect(of('dropped').map(({ events, why }) => [events[0].properties?.n, why])).toEqual(
    upTo(5).map((n) => [n, 'full']),
  );
  await maidian.flush();
  fill(maidian, 15, 16);
  await maidian.flush();
  expect(numbers()).toEqual(upTo(16).slice(5));
  expect(lostTo(collector.stored.values())).toEqual({ full: 5 });
});

test('bytes are bounded too', async () => {
  const maidian = open({ maxQueueBytes: 50_000, batchSize: 1000, flushInterval: 60_000 });
  fill(maidian, 0, 20, { text: 'é'.repeat(5000) });
  expect(maidian.queueLength).toBe(4);
  await maidian.flush();
  expect(numbers()).toEqual([16, 17, 18, 19]);
});

test('what is on its way is not dropped', async () => {
  const maidian = open({ maxQueue: 10, batchSize: 1000, flushInterval: 60_000 });
  fill(maidian, 0, 6);
  const flushed = maidian.flush();
  fill(maidian, 6, 20);
  await flushed;
  await maidian.flush();
  expect(numbers()).toEqual([0, 1, 2, 3, 4, 5, 16, 17, 18, 19]);
});

test('an event that is too large, or none at all, is told and not sent', async () => {
  const maidian = open();
  const loop: Fields = {};
  loop.loop = loop;
  expect(() => {
    maidian.track('huge', { properties: { text: 'x'.repeat(70_000) } });
    maidian.track('loop', loop);
    maidian.track('big', { n: 1n });
    maidian.track('fine');
  }).not.toThrow();
  await maidian.flush();
  expect([...collector.stored.values()].map(({ event_type }) => event_type)).toEqual(['fine']);
  expect(lostTo(collector.stored.values())).toEqual({ too_large: 1 });
  expect(of('dropped').map(({ events }) => events[0].event_type)).toEqual(['huge', 'loop', 'big']);
});

test('the report of a refused event is not lost with it', async () => {
  collector.refuse(({ properties }) => !!properties?.$dropped && properties.n === 3);
  const maidian = open({ maxQueue: 2, batchSize: 1000, flushInterval: 60_000 });
  fill(maidian, 0, 3);
  await maidian.flush();
  fill(maidian, 3, 4);
  await maidian.flush();
  expect(of('rejected')).toHaveLength(1);
  fill(maidian, 4, 5);
  await maidian.flush();
  expect(lostTo(collector.stored.values())).toEqual({ full: 1 });
});

test('an event that is sent another time keeps what it had to report', async () => {
  const maidian = open({ maxQueue: 2, batchSize: 1000, flushInterval: Infinity });
  fill(maidian, 0, 4);
  const [, left] = await maidian.shutdown(0);
  await maidian.flush();
  fill(maidian, 4, 7);
  maidian.track('numbered', { ...left, event_id: 'again' });
  await maidian.flush();
  maidian.track('end');
  await maidian.flush();
  const reports = [...collector.stored.values()].map(({ properties }) => properties?.$dropped).filter(Boolean);
  expect(reports).toEqual([{ full: 1 }, { full: 1 }, { full: 3 }]); // of 0; the same again; of 1, 4 and 5
});

test('a wait beyond all measure ends some day, and keeps nobody busy', async () => {
  collector.answer(() => ({ status: 503, retryAfter: 1e12 }));
  const maidian = open();
  fill(maidian, 0, 1);
  await maidian.flush();
  expect(of('waiting')).toMatchObject([{ why: 'status 503, next try in 86400 s' }]);
});

test('what may be stored already is not dropped', async () => {
  collector.answer(() => 'lost');
  const maidian = open({ maxQueue: 3, batchSize: 1000, flushInterval: 60_000, maxRetryWait: 1 });
  fill(maidian, 0, 2);
  await maidian.flush();
  fill(maidian, 2, 5);
  expect(of('dropped').map(({ events }) => events[0].properties?.n)).toEqual([2, 3]);
  collector.answer(() => ({ status: 200 }));
  expect(await maidian.shutdown()).toEqual([]);
  expect(numbers()).toEqual([0, 1, 4]);
});

test('a listener that throws breaks nothing; without one the console is told', async () => {
  const warn = vi.spyOn(console, 'warn').mockImplementation(() => {});
  collector.answer(() => (collector.requests.length < 2 ? { status: 500 } : { status: 200 }));
  const angry = open({
    onError: () => {
      throw new Error('the listener’s own');
    },
  });
  fill(angry, 0, 2);
  await vi.waitFor(() => expect(angry.queueLength).toBe(0));
  expect(warn).toHaveBeenCalledOnce();
  const quiet = open({ onError: undefined });
  quiet.track('huge', { properties: { text: 'x'.repeat(70_000) } });
  expect(warn).toHaveBeenLastCalledWith('[maidian] 1 event dropped: too_large');
});

test('an address that is none is told at once', () => {
  expect(() => open({ apiUrl: 'events.example' })).toThrow('Invalid URL');
});

test('shutdown sits out what the collector asked for', async () => {
  collector.answer(() => (collector.requests.length < 4 ? { status: 503 } : { status: 200 }));
  const maidian = open({ flushInterval: 60_000 });
  fill(maidian, 0, 5);
  expect(await maidian.shutdown()).toEqual([]);
  expect(numbers()).toEqual(upTo(5));
});

test('shutdown hands back what nobody counted, also what is on its way', async () => {
  collector.answer(() => 'silent');
  const maidian = open({ flushInterval: 60_000 });
  fill(maidian, 0, 5);
  const left = await maidian.shutdown(50);
  expect(left.map(({ properties }) => properties?.n)).toEqual(upTo(5));
  const later = open();
  collector.answer(() => ({ status: 200 }));
  for (const event of left) later.track(String(event.event_type), event);
  await later.flush();
  expect([...collector.stored.keys()]).toEqual(left.map(({ event_id }) => event_id));
});

/** Runs a program of its own with the SDK, and tells what it printed and how it ended. */
const run = async (program: string) => {
  const folder = mkdtempSync(join(tmpdir(), 'maidian-node-'));
  const outfile = join(folder, 'sdk.cjs');
  const { writeFileSync } = await import('node:fs');
  writeFileSync(outfile, await bundle('src/node/index.ts', { platform: 'node', format: 'cjs' }));
  const code = `const { Maidian } = require(${JSON.stringify(outfile)}); const apiUrl = '${collector.url}'; ${program}`;
  const child = spawn(process.execPath, ['-e', code]);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
  return {
    child,
    ended: once(child, 'close').then(([code]) => {
      rmSync(folder, { recursive: true });
      return { code, output };
    }),
  };
};

test('a process that has nothing left to do sends first', async () => {
  const { ended } = await run(
    `new Maidian({ apiUrl, apiKey: 'wk_1', flushInterval: 60000 }).track('last', { user_id: 'ann' })`,
  );
  expect(await ended).toEqual({ code: 0, output: '' });
  expect([...collector.stored.values()]).toMatchObject([{ event_type: 'last' }]);
});

test('a process whose collector is away ends all the same, and says what is lost', async () => {
  collector.answer(() => ({ status: 503, retryAfter: 3600 }));
  const { ended } = await run(
    `new Maidian({ apiUrl, apiKey: 'wk_1', exitTimeout: 60000 }).track('last', { user_id: 'ann' })`,
  );
  const { code, output } = await ended;
  expect(code).toBe(0);
  expect(output).toMatch(/1 event waiting: status 503, next try in \d+ s\n.*1 event dropped: the process ends/);
});

test('the recipe for SIGTERM sends what waits', async () => {
  const recipe = /process\.once\('SIGTERM'.*?\n\}\);/s.exec(
    readFileSync(new URL('../README.md', import.meta.url), 'utf8'),
  )?.[0];
  expect(recipe).toContain('shutdown');
  const { child, ended } = await run(`
    const maidian = new Maidian({ apiUrl, apiKey: 'wk_1', flushInterval: 60000 });
    const server = require('node:http').createServer().listen(0, '127.0.0.1', () => console.log('ready'));
    maidian.track('last', { user_id: 'ann' });
    ${recipe}`);
  await once(child.stdout, 'data');
  child.kill('SIGTERM');
  expect(await ended).toMatchObject({ code: 0 });
  expect([...collector.stored.values()]).toMatchObject([{ event_type: 'last' }]);
});

/** Small, fast and repeatable: the same seed, the same troubles. */
const random = (seed: number) => () => {
  seed = (seed * 1_664_525 + 1_013_904_223) % 4_294_967_296;
  return seed / 4_294_967_296;
};

test.each(upTo(8))(
  'whatever the network does, every event is stored or accounted for, once (seed %i)',
  async (seed) => {
    const next = random(seed + 1);
    const pick = <T>(list: T[]) => list[Math.floor(next() * list.length)];
    const troubles: Reply[] = [
      { status: 200 },
      { status: 503 },
      { status: 429, retryAfter: 0 },
      { status: 502, json: '<html>bad gateway</html>' },
      { status: 200, json: {} },
      'cut',
      'lost',
      'silent',
    ];
    collector.refuse(({ properties }) => (properties?.n as number) % 17 === 3);
    collector.answer((events) => (next() < 0.2 && events.length > 3 ? { status: 413 } : pick(troubles)));
    const maidian = open({ maxQueue: 60, batchSize: 10, flushInterval: 2, timeout: 20, maxRetryWait: 2 });
    let n = 0;
    for (let round = 0; round < 40; round++) {
      const many = Math.floor(next() * 12);
      fill(maidian, n, n + many);
      n += many;
      if (next() < 0.5) await maidian.flush();
    }
    collector.answer(() => ({ status: 200 }));
    await maidian.shutdown();
    maidian.track('end'); // has room, so it can report all that had none
    expect(await maidian.shutdown()).toEqual([]);

    const ids = (fate: Problem['fate']) => of(fate).flatMap(({ events }) => events.map(({ event_id }) => event_id));
    const ends = [...collector.stored.keys(), ...ids('rejected'), ...ids('dropped')];
    expect([ends.length, new Set(ends).size]).toEqual([n + 1, n + 1]);
    expect(lostTo(collector.stored.values()).full ?? 0).toBe(ids('dropped').length);
  },
);
