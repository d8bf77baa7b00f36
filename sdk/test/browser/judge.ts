import type { StoredEvent } from './harness.js';
import type { Lost, Made, Walk } from './walk.js';

/** What is wrong with what was stored of a walk, one line each. */
export const judge = ({ made, lost, offsets, left, errors }: Walk, stored: StoredEvent[]): string[] => {
  const wrong = errors.map((message) => `an error: ${message}`);
  if (left) wrong.push(`${left} events were never confirmed`);
  const found = new Map(stored.map((event) => [event.event_id, event]));
  if (found.size !== stored.length) wrong.push(`${stored.length - found.size} events are stored twice`);

  const given = [...lost.values()].filter(({ fate }) => fate === 'dropped');
  for (const { fate, event_id, why } of lost.values()) {
    if (fate === 'rejected') wrong.push(`${event_id} was rejected: ${why}`);
  }
  for (const [id, event] of made) {
    const row = found.get(id);
    if (row) wrong.push(...altered(event, row, offsets));
    if (row && lost.get(id)?.fate === 'dropped') wrong.push(`${event.event_type} ${id} is stored, and was dropped`);
    if (!row && !lost.has(id)) wrong.push(`${event.event_type} ${id} was made, and neither stored nor dropped`);
  }
  for (const [id, { event_type }] of found) {
    if (!made.has(id)) wrong.push(`${event_type} ${id} is stored, and nobody made it`);
  }
  return [...wrong, ...uncounted(given, stored), ...gaps(given, stored)];
};

/** Whether as many drops were reported, by reason, as there were. */
const uncounted = (given: Lost[], stored: StoredEvent[]): string[] => {
  const counts: Record<string, number> = {};
  for (const { why } of given) counts[why] = (counts[why] ?? 0) + 1;
  const reported: Record<string, number> = {};
  for (const { properties } of stored) {
    for (const [why, n] of Object.entries(properties?.$dropped ?? {})) reported[why] = (reported[why] ?? 0) + Number(n);
  }
  const reasons = new Set([...Object.keys(counts), ...Object.keys(reported)]);
  return [...reasons]
    .filter((why) => counts[why] !== reported[why])
    .map((why) => `dropped as ${why}: ${counts[why] ?? 0}, reported: ${reported[why] ?? 0}`);
};

/** The numbers of a device that neither a stored event has nor one that was dropped. */
const gaps = (given: Lost[], stored: StoredEvent[]): string[] => {
  const devices = new Map<string, Set<number>>();
  const number = (device: string, n?: number) => n && devices.set(device, (devices.get(device) ?? new Set()).add(n));
  for (const { anonymous_id, properties } of stored) number(anonymous_id, properties?.$sequence);
  for (const { anonymous_id, $sequence } of given) number(anonymous_id, $sequence);
  return [...devices].flatMap(([device, numbers]) =>
    Array.from({ length: Math.max(...numbers) }, (_, i) => i + 1)
      .filter((n) => !numbers.has(n))
      .map((n) => `number ${n} of ${device} is missing`),
  );
};

const same = (one: unknown, other: unknown): boolean => JSON.stringify(sorted(one)) === JSON.stringify(sorted(other));
const sorted = (value: unknown): unknown =>
  value && typeof value === 'object' && !Array.isArray(value)
    ? Object.fromEntries(
        Object.entries(value)
          .sort(([a], [b]) => (a < b ? -1 : 1))
          .map(([name, inner]) => [name, sorted(inner)]),
      )
    : value;

/** What of an event is stored otherwise than the page said. */
const altered = (event: Made, row: StoredEvent, offsets: number[]): string[] => {
  const { timestamp, properties, ...fields } = event;
  const { $sequence: _, $dropped: __, ...kept } = row.properties ?? {};
  const wrong: [string, unknown, unknown][] = Object.entries(fields)
    .filter(([name, value]) => value !== undefined && !same(value, row[name]))
    .map(([name, value]) => [name, value, row[name]]);
  const said = JSON.parse(JSON.stringify(properties ?? {}));
  if (!same(said, kept)) wrong.push(['properties', said, kept]);
  // A clock that was ahead when the event was sent has been put right by as much.
  const off = timestamp - Date.parse(row.timestamp);
  if (!offsets.some((offset) => Math.abs(off - offset) < 20_000)) wrong.push(['timestamp', timestamp, row.timestamp]);
  return wrong.map(
    ([name, before, after]) =>
      `${event.event_type} ${event.event_id} was altered: ${name} ${JSON.stringify(before)} became ${JSON.stringify(after)}`,
  );
};
