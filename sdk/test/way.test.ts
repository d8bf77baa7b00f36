import { gunzipSync } from 'node:zlib';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { beacon } from '../src/feature/beacon.js';
import { gzip } from '../src/feature/gzip.js';
import { locks } from '../src/feature/locks.js';
import type { Tracking } from '../src/tracking.js';
import type { Answer } from '../src/transport.js';

type Sent = [body: BodyInit, keepalive?: boolean, leaving?: boolean, headers?: Record<string, string>];

let sent: Sent[];
let answer: Answer;

const tracking = (): Tracking =>
  ({
    options: { apiKey: 'wk_1' },
    url: 'https://c.example/track',
    turn: (drain) => drain(),
    post: async (...request) => {
      sent.push(request);
      return answer;
    },
  }) as Partial<Tracking> as Tracking;

beforeEach(() => {
  sent = [];
  answer = { status: 200 };
});
afterEach(() => {
  vi.unstubAllGlobals();
});

test('a large batch is packed, a small one is not, and neither is one as the page is left', async () => {
  const way = tracking();
  gzip(way);
  const large = 'x'.repeat(20_000);
  await way.post(large, true);
  await way.post('small', true);
  await way.post(large, true, true);
  const [packed, small, leaving] = sent;
  expect(packed.slice(1)).toEqual([false, undefined, { 'Content-Type': 'text/plain', 'Content-Encoding': 'gzip' }]);
  expect(`${gunzipSync(new Uint8Array(await (packed[0] as Blob).arrayBuffer()))}`).toBe(large);
  expect(small.slice(0, 2)).toEqual(['small', true]);
  expect(leaving.slice(0, 3)).toEqual([large, true, true]);
});

test.each([0, 415])('after status %i for a packed batch the next ones are plain', async (status) => {
  const way = tracking();
  gzip(way);
  answer = { status };
  await way.post('x'.repeat(20_000), false);
  await way.post('y'.repeat(20_000), false);
  expect(sent.map(([body]) => typeof body)).toEqual(['object', 'string']);
});

test('a browser that cannot pack sends plain', async () => {
  vi.stubGlobal('CompressionStream', undefined);
  const way = tracking();
  gzip(way);
  await way.post('x'.repeat(20_000), false);
  expect(typeof sent[0][0]).toBe('string');
});

test('without keepalive, what goes out as the page is left goes as a beacon, and is not taken as answered', async () => {
  vi.stubGlobal('Request', class {});
  const sendBeacon = vi.fn((_: string, body: string) => body.length < 10);
  Object.assign(navigator, { sendBeacon });
  const way = tracking();
  beacon(way);
  expect(await way.post('{}', true, true)).toEqual({ status: 0 });
  expect(sendBeacon).toHaveBeenCalledWith('https://c.example/track', '{}');
  expect(sent).toEqual([]);
  await way.post('too large for it', true, true);
  await way.post('{}', true);
  expect(sent.map(([body]) => body)).toEqual(['too large for it', '{}']);
});

test('one tab sends at a time', async () => {
  let busy = Promise.resolve<unknown>(0);
  vi.stubGlobal('navigator', {
    locks: {
      request: (name: string, _: LockOptions, run: () => Promise<unknown>) => {
        expect(name).toBe('md.send.wk_1');
        busy = busy.then(run);
        return busy;
      },
    },
  });
  const [one, two] = [tracking(), tracking()];
  [one, two].forEach((tab) => locks(tab));
  let sending = 0;
  const drain = async () => {
    expect(++sending).toBe(1);
    await new Promise((done) => setTimeout(done));
    sending--;
    return true;
  };
  expect(await Promise.all([one.turn(drain), two.turn(drain), one.turn(drain)])).toEqual([true, true, true]);
});

test('a tab that never gives its turn back is passed over', async () => {
  vi.stubGlobal('navigator', { locks: { request: () => Promise.reject(new DOMException('waited', 'TimeoutError')) } });
  const way = tracking();
  locks(way);
  expect(await way.turn(async () => true)).toBe(true);
});
