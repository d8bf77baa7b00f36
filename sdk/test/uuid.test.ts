import { expect, test } from 'vitest';
import { timeOf, uuid } from '../src/uuid.js';

test('an id is a UUIDv7 of its time', () => {
  const id = uuid(1_767_225_600_123);
  expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  expect(timeOf(id)).toBe(1_767_225_600_123);
});

test('ids sort in the order of their making, inside one millisecond too', () => {
  const ids = Array.from({ length: 3000 }, (_, i) => uuid(1000 + Math.floor(i / 1000)));
  expect([...ids].sort()).toEqual(ids);
  expect(new Set(ids).size).toBe(ids.length);
});
