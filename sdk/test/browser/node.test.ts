import { expect, inject, test } from 'vitest';
import { Maidian, type Problem } from '../../src/node/index.js';
import { ask, eventually, ownPath, stored } from './harness.js';

/** A server's events have no page of their own; one is given to know them again by. */
const open = () => {
  const problems: Problem[] = [];
  const path = ownPath();
  const page_url = `https://server.example${path}`;
  const maidian = new Maidian({ apiUrl: inject('collector'), apiKey: 'wk_demo', onError: (p) => problems.push(p) });
  return { maidian, problems, path, page_url };
};

test('a server’s events are all stored, once, and are nobody’s bot', async () => {
  const { maidian, problems, path, page_url } = open();
  for (let n = 0; n < 1200; n++) maidian.track('numbered', { user_id: 'ann', page_url, properties: { n } });
  expect(await maidian.shutdown()).toEqual([]);
  expect(problems).toEqual([]);
  const count = async () => {
    const filters = [{ property: 'page_path', op: 'eq', value: path }];
    return (await ask('trends', { series: [{ event: 'numbered' }], days: 2, filters })).series[0].total;
  };
  await eventually(count, (total) => expect(total).toBe(1200));
  const [event] = await stored(path);
  expect(event).toMatchObject({
    sdk: 'maidian-node/0.1.0',
    user_id: 'ann',
    is_bot: false,
    properties: { n: expect.any(Number) },
  });
});

test('what the collector refuses is told by event and reason, and the rest is stored', async () => {
  const { maidian, problems, path, page_url } = open();
  maidian.track('purchase', { user_id: 'ann', page_url, properties: { order_id: 'o-1', amount: 5 } });
  maidian.track('purchase', { user_id: 'ann', page_url, properties: { order_id: 'o-2', amount: -5 } });
  maidian.page({ user_id: 'ann', page_url });
  expect(await maidian.shutdown()).toEqual([]);
  expect(problems).toMatchObject([
    {
      fate: 'rejected',
      why: expect.stringContaining('properties.amount'),
      events: [{ properties: { order_id: 'o-2' } }],
    },
  ]);
  const events = await eventually(
    () => stored(path),
    (seen) => expect(seen).toHaveLength(2),
  );
  expect(events.map(({ event_type }) => event_type)).toEqual(['purchase', 'page_view']);
});

test('a device that a server says is somebody’s becomes that user’s', async () => {
  const { maidian, path, page_url } = open();
  const [device, user] = [`device${path}`, `user${path}`];
  maidian.track('anonymous_visit', { anonymous_id: device, page_url });
  maidian.identify(user, { plan: 'pro' }, { anonymous_id: device, page_url });
  expect(await maidian.shutdown()).toEqual([]);
  const profile = () =>
    fetch(`${inject('query')}/api/v1/analytics/users/${encodeURIComponent(user)}`, {
      headers: { 'X-API-Key': 'rk_demo' },
    });
  await eventually(profile, (answer) => expect(answer.status).toBe(200));
  const text = await (await profile()).text();
  expect(text).toContain('anonymous_visit');
  expect(text).toContain(device);
});

test('an unknown key is told, and nothing is lost by it', async () => {
  const problems: Problem[] = [];
  const maidian = new Maidian({ apiUrl: inject('collector'), apiKey: 'wk_wrong', onError: (p) => problems.push(p) });
  maidian.track('a', { user_id: 'ann' });
  expect(await maidian.flush()).toBe(false);
  expect(problems).toMatchObject([{ fate: 'waiting', why: expect.stringMatching(/^status 401/) }]);
  expect(await maidian.shutdown(0)).toHaveLength(1);
});
