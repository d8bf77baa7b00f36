import { describe, expect, test } from 'vitest';
import type { StoredEvent } from './browser/harness.js';
import { judge } from './browser/judge.js';
import { type Lost, openWalk } from './browser/walk.js';

describe('the judge of walks finds', () => {
  const made = ['a', 'b', 'c'].map((event_id) => ({
    ...{ event_id, event_type: 'step', anonymous_id: 'device', timestamp: 1_800_000_000_000 },
    properties: { list: [1] },
  }));
  const row = (n: number, more = {}): StoredEvent => {
    const { timestamp, properties, ...event } = made[n];
    const numbered = { ...properties, $sequence: n + 1, ...more };
    return { ...event, timestamp: new Date(timestamp).toISOString(), properties: numbered };
  };
  const dropped = { fate: 'dropped', why: 'full', event_id: 'b', anonymous_id: 'device', $sequence: 2 } as const;
  const judged = (stored: StoredEvent[], lost: Lost[] = []) => {
    const walk = openWalk(0);
    for (const event of made) walk.made.set(event.event_id, event);
    for (const event of lost) walk.lost.set(event.event_id, event);
    return judge(walk, stored);
  };

  test.each<[string, StoredEvent[], Lost[], RegExp[]]>([
    ['nothing where nothing is wrong', [row(0), row(1), row(2)], [], []],
    ['nothing where a drop is reported', [row(0), row(2, { $dropped: { full: 1 } })], [dropped], []],
    ['what is lost', [row(0), row(1)], [], [/^step c was made, and neither/]],
    ['what is lost in between', [row(0), row(2)], [], [/^step b was made/, /^number 2 of device is missing/]],
    ['what is stored twice', [row(0), row(1), row(1), row(2)], [], [/^1 events are stored twice/]],
    ['what is altered', [row(0), row(1), row(2, { list: [2] })], [], [/^step c was altered: properties/]],
    ['what nobody made', [row(0), row(1), row(2), { ...row(2), event_id: 'd' }], [], [/^step d is stored/]],
    [
      'what is stored, and was dropped',
      [row(0), row(1), row(2, { $dropped: { full: 1 } })],
      [dropped],
      [/^step b is stored, and was dropped/],
    ],
    ['a drop that is not reported', [row(0), row(2)], [dropped], [/^dropped as full: 1, reported: 0/]],
    ['a report without a drop', [row(0), row(1), row(2, { $dropped: { full: 1 } })], [], [/: 0, reported: 1/]],
    ['a refusal', [row(0), row(1), row(2)], [{ ...dropped, fate: 'rejected' }], [/^b was rejected/]],
  ])('%s', (_, stored, lost, lines) => {
    expect(judged(stored, lost)).toEqual(lines.map((line) => expect.stringMatching(line)));
  });
});
