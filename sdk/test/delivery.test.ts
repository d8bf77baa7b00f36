import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type Delivery, type Fate, openDelivery, type Way } from '../src/delivery.js';
import type { Undo } from '../src/listen.js';
import { openStore, type Store } from '../src/store.js';
import { openPost } from '../src/transport.js';
import { uuid } from '../src/uuid.js';
import { fakeCollector } from './collector.js';

const second = 1000;

type Running = Delivery & { stop: Undo };

let collector: ReturnType<typeof fakeCollector>;
let fates: [Fate, string, string?][];
let running: Running[];
let turn: Promise<boolean> | undefined; // of the tab that sends

const start = (options = {}, store: Store = openStore()): Running => {
  const way: Way = {
    ready: () => true,
    turn: async (drain) => {
      while (turn) await turn;
      turn = drain().finally(() => {
        turn = undefined;
      });
      return turn as Promise<boolean>;
    },
    post: openPost('https://c.example/api/v1/analytics/track/batch'),
    tell: (fate, body, why) => {
      fates.push([fate, /"event_type":"(\w+)/.exec(body)?.[1] ?? '', why]);
    },
  };
  const delivery = openDelivery({ apiKey: 'wk_1', ...options }, store, way);
  running.push({ ...delivery, stop: delivery.start() });
  return running[running.length - 1];
};
const event = (type: string, more = {}) => JSON.stringify({ event_id: uuid(), event_type: type, ...more });
const add = (delivery: Delivery, n: number, more = {}) => {
  for (let i = 0; i < n; i++) delivery.add(event(`e${i}`, more));
};
const told = (fate: Fate) => fates.filter(([f]) => f === fate).map(([, type]) => type);

beforeEach(() => {
  vi.useFakeTimers({ now: 1_767_225_600_000 });
  localStorage.clear();
  collector = fakeCollector();
  fates = [];
  running = [];
  turn = undefined;
});
afterEach(() => {
  running.forEach((delivery) => delivery.stop());
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test('a batchful is sent at once, in order, with the key and the time of sending', async () => {
  const delivery = start();
  add(delivery, 20);
  await vi.advanceTimersByTimeAsync(100);
  expect(collector.requests).toHaveLength(1);
  const [{ url, batch, keepalive }] = collector.requests;
  expect(url).toBe('https://c.example/api/v1/analytics/track/batch');
  expect(batch.api_key).toBe('wk_1');
  expect(batch.sent_at).toBe(1_767_225_600_000);
  expect(batch.events.map((e) => e.event_type)).toEqual(Array.from({ length: 20 }, (_, i) => `e${i}`));
  expect(keepalive).toBe(true);
  expect(delivery.length()).toBe(0);
});

test('fewer wait for the interval, and go together', async () => {
  const delivery = start();
  add(delivery, 2);
  await vi.advanceTimersByTimeAsync(4 * second);
  add(delivery, 1);
  expect(collector.requests).toHaveLength(0);
  await vi.advanceTimersByTimeAsync(1.1 * second);
  expect(collector.sizes()).toEqual([3]);
  expect(told('confirmed')).toHaveLength(3);
});

test('what is added while a batch is on its way waits for its own turn', async () => {
  const delivery = start();
  add(delivery, 20);
  await vi.advanceTimersByTimeAsync(20);
  add(delivery, 1);
  await vi.advanceTimersByTimeAsync(1 * second);
  expect(collector.sizes()).toEqual([20]);
  await vi.advanceTimersByTimeAsync(5 * second);
  expect(collector.sizes()).toEqual([20, 1]);
});

test('an event stays until an answer counted it', async () => {
  const delivery = start();
  collector.answer(() => ({ status: 200, json: '<html>Please sign in to the Wi-Fi</html>' }));
  add(delivery, 20);
  await vi.advanceTimersByTimeAsync(100);
  expect(delivery.length()).toBe(20);
  collector.answer(() => ({ status: 200 }));
  await vi.advanceTimersByTimeAsync(10 * second);
  expect(delivery.length()).toBe(0);
  expect(collector.stored.size).toBe(20);
});

test('a server that asks for a pause gets it, from all tabs and after a reload', async () => {
  const first = start();
  collector.answer(() => ({ status: 503, headers: { 'Retry-After': '120' } }));
  add(first, 20);
  await vi.advanceTimersByTimeAsync(100);
  first.stop();
  const reloaded = start();
  const other = start();
  add(other, 60);
  window.dispatchEvent(new Event('online'));
  other.flushOnHide();
  await vi.advanceTimersByTimeAsync(119 * second);
  expect(collector.sizes()).toEqual([20]);
  collector.answer(() => ({ status: 200 }));
  await vi.advanceTimersByTimeAsync(30 * second);
  expect(collector.stored.size).toBe(80);
  expect([reloaded.length(), other.length()]).toEqual([0, 0]);
});

test('without a network it tries less and less often, and at once when the network is back', async () => {
  const delivery = start();
  collector.answer(() => 'down');
  add(delivery, 20);
  await vi.advanceTimersByTimeAsync(600 * second);
  expect(collector.requests.length).toBeGreaterThan(4);
  expect(collector.requests.length).toBeLessThan(20);
  collector.answer(() => ({ status: 200 }));
  window.dispatchEvent(new Event('online'));
  await vi.advanceTimersByTimeAsync(100);
  expect(delivery.length()).toBe(0);
});

test('a batch that is too large is halved until it fits; an event too large by itself is given up', async () => {
  const delivery = start({ batchSize: 8 });
  collector.answer(({ events }) => ({
    status: events.length > 2 || events.some((e) => e.event_type === 'e5') ? 413 : 200,
  }));
  add(delivery, 8);
  await vi.advanceTimersByTimeAsync(5 * second);
  expect(told('rejected')).toEqual(['e5']);
  expect(collector.stored.size).toBe(7);
  expect(delivery.length()).toBe(0);
});

test('what the collector refuses by name leaves; the rest of the batch was stored', async () => {
  const delivery = start({ batchSize: 3 });
  collector.answer(() => ({
    status: 200,
    json: { accepted: 2, rejected: 1, errors: [{ index: 1, field: 'amount', message: 'must be 0 or more' }] },
  }));
  add(delivery, 3);
  await vi.advanceTimersByTimeAsync(100);
  expect(told('confirmed')).toEqual(['e0', 'e2']);
  expect(fates).toContainEqual(['rejected', 'e1', 'amount must be 0 or more']);
  expect(delivery.length()).toBe(0);
});

test('something unreadable in the store does not hold up the rest', async () => {
  vi.stubGlobal('fetch', async (_: string, { body }: { body: string }) => {
    try {
      const { events } = JSON.parse(body);
      return new Response(JSON.stringify({ accepted: events.length, rejected: 0 }));
    } catch {
      return new Response('{"error":{"code":"invalid_json"}}', { status: 400 });
    }
  });
  localStorage.setItem(`md.q.wk_1.${uuid()}`, '{"broken');
  const delivery = start();
  add(delivery, 19);
  await delivery.flush();
  expect(delivery.length()).toBe(0);
});

test('two tabs share the queue: each event is sent once', async () => {
  const [one, two] = [start(), start()];
  add(one, 15);
  add(two, 15);
  await vi.advanceTimersByTimeAsync(6 * second);
  expect(collector.sizes().reduce((a, b) => a + b)).toBe(30);
  expect(collector.stored.size).toBe(30);
  expect([one.length(), two.length()]).toEqual([0, 0]);
  add(one, 20);
  await vi.advanceTimersByTimeAsync(100);
  add(two, 20); // at once: the other tab is done
  await vi.advanceTimersByTimeAsync(100);
  expect(collector.stored.size).toBe(70);
});

test('what was stopped while a batch was on its way sends nothing more', async () => {
  const delivery = start();
  add(delivery, 20);
  await vi.advanceTimersByTimeAsync(20);
  add(delivery, 3);
  delivery.stop();
  await vi.advanceTimersByTimeAsync(20 * second);
  expect(collector.sizes()).toEqual([20]);
  expect(delivery.length()).toBe(3);
});

test('what an earlier visit left behind is sent on the next one', async () => {
  const earlier = start();
  add(earlier, 3);
  earlier.stop();
  await vi.advanceTimersByTimeAsync(10 * second);
  expect(collector.requests).toHaveLength(0);
  start();
  await vi.advanceTimersByTimeAsync(6 * second);
  expect(collector.sizes()).toEqual([3]);
});

test('a page that is hidden sends its own events once, below 64 KiB, and forgets them only when counted', async () => {
  const other = start();
  add(other, 2);
  const delivery = start();
  add(delivery, 300, { text: '买'.repeat(100) });
  await vi.advanceTimersByTimeAsync(20); // the first batches are on their way
  const before = collector.requests.length;
  delivery.flushOnHide();
  delivery.flushOnHide();
  expect(collector.requests).toHaveLength(before + 1);
  expect(collector.requests.every(({ keepalive }) => keepalive)).toBe(true);
  expect(
    collector.requests.map(({ text }) => new TextEncoder().encode(text).length).reduce((a, b) => a + b),
  ).toBeLessThan(64_000);
  const ids = collector.requests.flatMap(({ batch }) => batch.events.map((e) => e.event_id));
  expect(new Set(ids).size).toBe(ids.length);
  expect(delivery.length()).toBe(302);
  await vi.advanceTimersByTimeAsync(20 * second);
  expect(collector.stored.size).toBe(302);
  expect(delivery.length()).toBe(0);
});

test('a batch that is too large to outlive the page is not asked to: the browser would refuse it', async () => {
  const delivery = start({ batchSize: 1000 });
  add(delivery, 200, { text: '买'.repeat(100) });
  await vi.advanceTimersByTimeAsync(6 * second);
  expect(collector.requests.map(({ keepalive }) => keepalive)).toEqual([false]);
});

test('an event that the collector would never take is not queued', () => {
  const delivery = start();
  delivery.add(event('large', { text: 'x'.repeat(70_000) }));
  expect(fates).toEqual([['dropped', 'large', 'too_large']]);
  expect(delivery.length()).toBe(0);
});

test('flush sends what waits, now', async () => {
  const delivery = start();
  add(delivery, 19);
  const flushed = delivery.flush();
  await vi.advanceTimersByTimeAsync(100);
  expect(await flushed).toBe(true);
  expect(collector.stored.size).toBe(19);
});

test('flush says when something is left', async () => {
  const delivery = start();
  collector.answer(() => ({ status: 500 }));
  add(delivery, 1);
  const flushed = delivery.flush();
  await vi.advanceTimersByTimeAsync(100);
  expect(await flushed).toBe(false);
});

test('storage that refuses everything: memory queues, and everything arrives', async () => {
  vi.stubGlobal('localStorage', undefined);
  const delivery = start();
  add(delivery, 25);
  await vi.advanceTimersByTimeAsync(10 * second);
  expect(collector.stored.size).toBe(25);
});

test('whatever the network does: events made = stored + told as refused or dropped, nothing twice', async () => {
  let seed = 7;
  const random = () => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed / 2_147_483_647;
  };
  for (let walk = 0; walk < 40; walk++) {
    localStorage.clear();
    collector = fakeCollector();
    fates = [];
    collector.answer((batch) => {
      const luck = random();
      if (luck < 0.15) return 'down';
      if (luck < 0.3) return 'lost';
      if (luck < 0.4) return { status: 503, headers: { 'Retry-After': `${Math.ceil(random() * 20)}` } };
      if (luck < 0.45) return { status: 429 };
      if (luck < 0.55 && batch.events.length > 1) return { status: 413 };
      if (luck < 0.65) {
        const index = Math.floor(random() * batch.events.length);
        collector.store({ ...batch, events: batch.events.filter((_, i) => i !== index) });
        return { status: 200, json: { accepted: batch.events.length - 1, rejected: 1, errors: [{ index }] } };
      }
      return { status: 200 };
    });
    let tabs = [start(), start({ batchSize: 3 })];
    let made = 0;
    for (let step = 0; step < 60; step++) {
      const tab = tabs[Math.floor(random() * tabs.length)];
      const doing = random();
      if (doing < 0.7) {
        tab.add(event(`w${made++}`));
      } else if (doing < 0.75) tab.flushOnHide();
      else if (doing < 0.8) window.dispatchEvent(new Event('online'));
      else if (doing < 0.85) {
        tab.flushOnHide();
        tab.stop();
        tabs = [...tabs.filter((other) => other !== tab), start()];
      }
      await vi.advanceTimersByTimeAsync(Math.floor(random() * 2000));
    }
    collector.answer(() => ({ status: 200 }));
    await vi.advanceTimersByTimeAsync(3600 * second);
    expect(tabs.map((tab) => tab.length())).toEqual([0, 0]);
    const stored = [...collector.stored.values()].map((e) => e.event_type);
    expect(new Set([...stored, ...told('rejected')])).toEqual(new Set(Array.from({ length: made }, (_, i) => `w${i}`)));
    expect(new Set(stored).size).toBe(stored.length);
    tabs.forEach((tab) => tab.stop());
  }
});
