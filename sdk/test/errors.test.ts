import { expect, test, vi } from 'vitest';
import { fire, news, start, tracked } from './watched.js';

const throwing = (message: string, more = {}) => {
  const error = Object.assign(new TypeError(message), {
    stack: `TypeError: ${message}\n    at f (https://a.example/app.js:1:2)`,
  });
  fire(window, 'error', { message, error, filename: 'https://a.example/app.js', lineno: 1, colno: 2, ...more });
};

test('an error nobody caught says what and where', () => {
  start(['errors']);
  throwing('x is not a function');
  expect(news()).toEqual([
    [
      'error',
      {
        properties: {
          kind: 'error',
          message: 'TypeError: x is not a function',
          source: 'https://a.example/app.js',
          line: 1,
          column: 2,
          stack: 'TypeError: x is not a function\n    at f (https://a.example/app.js:1:2)',
        },
      },
    ],
  ]);
});

test.each([
  [new RangeError('too far'), 'RangeError: too far'],
  ['plain text', 'plain text'],
  [undefined, 'undefined'],
  [{ code: 7 }, '[object Object]'],
])('a promise nobody caught: %s', (reason, message) => {
  start(['errors']);
  fire(window, 'unhandledrejection', { reason });
  expect(news()).toMatchObject([['error', { properties: { kind: 'rejection', message } }]]);
});

test('a reason that cannot even be shown is no reason to throw', () => {
  start(['errors']);
  fire(window, 'unhandledrejection', { reason: Object.create(null) });
  expect(tracked).toEqual([]);
});

test('a picture that did not load is no error of a script', () => {
  start(['errors']);
  document.body.innerHTML = '<img id="i">';
  fire(document.querySelector('#i'), 'error');
  expect(tracked).toEqual([]);
});

test('addresses lose their secrets, long texts their end', () => {
  start(['errors']);
  throwing(`no answer from https://ann:pw@api.example/v1?token=s3cret&x=1 ${'y'.repeat(1000)}`, {
    filename: 'https://a.example/app.js?token=s3cret',
    error: {
      toString: () => `Error: no answer from https://ann:pw@api.example/v1?token=s3cret&x=1 ${'y'.repeat(1000)}`,
      stack: Array.from({ length: 100 }, (_, i) => `at f${i} (https://a.example/app.js?token=s3cret:1:${i})`).join(
        '\n',
      ),
    },
  });
  const [[, { properties = {} }]] = news();
  expect(JSON.stringify(properties)).not.toMatch(/s3cret|pw@/);
  expect(properties.message).toMatch(/^Error: no answer from https:\/\/api.example\/v1\?x=1 y+$/);
  expect(`${properties.message}`.length).toBeLessThanOrEqual(300);
  expect(`${properties.stack}`.split('\n')).toHaveLength(10);
});

test('the same is told once a page, and ten a minute at most', async () => {
  start(['errors']);
  for (let i = 0; i < 5; i++) throwing('again');
  expect(news()).toHaveLength(1);
  history.pushState({}, '', '/next');
  await vi.advanceTimersByTimeAsync(5);
  throwing('again');
  expect(news()).toHaveLength(1);
  for (let i = 0; i < 50; i++) throwing(`another ${i}`);
  expect(news()).toHaveLength(8);
  await vi.advanceTimersByTimeAsync(60_000);
  for (let i = 0; i < 50; i++) throwing(`another ${i}`);
  expect(news()).toHaveLength(10);
});
