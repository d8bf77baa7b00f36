import { beforeEach, expect, test } from 'vitest';
import { anonymousId, rememberUser, userId } from '../src/identity.js';
import { sessionId } from '../src/session.js';
import { openStore } from '../src/store.js';

const minutes = 60_000;
const begin = 1_767_225_600_000;

beforeEach(() => localStorage.clear());

test.each([
  ['29 idle minutes', [0, 29], true],
  ['30 idle minutes', [0, 30], false],
  ['activity keeps it alive', [0, 20, 40, 60], true],
  ['a day is the end, activity or not', Array.from({ length: 73 }, (_, i) => i * 20), false],
  ['a clock set back by hours', [0, -300], false],
  ['a clock set back by a little', [0, -2], true],
])('%s: same session %s', (_, at, same) => {
  const store = openStore();
  const ids = at.map((minute) => sessionId(store, begin + minute * minutes));
  expect(ids[0] === ids.at(-1)).toBe(same);
});

test('tabs share a session', () => {
  expect(sessionId(openStore(), begin)).toBe(sessionId(openStore(), begin + minutes));
});

test('garbage under the key starts a new session', () => {
  localStorage.setItem('md.session', '{"hello":');
  expect(sessionId(openStore(), begin)).toMatch(/^[0-9a-f-]{36}$/);
});

test('the browser keeps its anonymous id, and the user until it is forgotten', () => {
  expect(anonymousId(openStore())).toBe(anonymousId(openStore()));
  rememberUser(openStore(), 42);
  expect(userId(openStore())).toBe('42');
  rememberUser(openStore(), null);
  expect(userId(openStore())).toBeUndefined();
});
