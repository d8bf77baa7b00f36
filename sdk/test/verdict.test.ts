import { expect, test } from 'vitest';
import type { Answer } from '../src/transport.js';
import { judge } from '../src/verdict.js';

const bad = (...indices: number[]) => indices.map((index) => ({ index, code: 'invalid_field', message: 'no' }));

const cases: [string, Answer, number, { settled: number[]; refused?: number[]; next: string }][] = [
  ['all accepted', { status: 200, counts: { accepted: 2, rejected: 0 } }, 2, { settled: [0, 1], next: 'go' }],
  [
    'one refused by name',
    { status: 200, counts: { accepted: 1, rejected: 1, errors: bad(1) } },
    2,
    { settled: [0, 1], refused: [1], next: 'go' },
  ],
  [
    'all refused by name',
    { status: 400, counts: { accepted: 0, rejected: 2, errors: bad(0, 1) } },
    2,
    { settled: [0, 1], refused: [0, 1], next: 'go' },
  ],
  ['200 from somebody else', { status: 200 }, 2, { settled: [], next: 'wait' }],
  ['200 that counts too few', { status: 200, counts: { accepted: 1 } }, 2, { settled: [], next: 'wait' }],
  ['no answer', { status: 0 }, 2, { settled: [], next: 'wait' }],
  ['408', { status: 408 }, 2, { settled: [], next: 'wait' }],
  ['429', { status: 429, retryAfter: 1000 }, 2, { settled: [], next: 'wait' }],
  ['500', { status: 500 }, 1, { settled: [], next: 'wait' }],
  [
    '503 does not count, whatever its body says',
    { status: 503, counts: { accepted: 1 } },
    1,
    { settled: [], next: 'wait' },
  ],
  ['unknown key: may be put right', { status: 401 }, 2, { settled: [], next: 'wait' }],
  ['wrong address', { status: 404 }, 2, { settled: [], next: 'wait' }],
  ['too large', { status: 413 }, 3, { settled: [], next: 'halve' }],
  ['too large by itself', { status: 413 }, 1, { settled: [0], refused: [0], next: 'go' }],
  ['bad, nobody named', { status: 400 }, 2, { settled: [], next: 'halve' }],
  ['bad, only one can be meant', { status: 400 }, 1, { settled: [0], refused: [0], next: 'go' }],
  [
    'bad, one named, the rest not counted',
    { status: 400, counts: { errors: bad(2) } },
    3,
    { settled: [2], refused: [2], next: 'go' },
  ],
  ['no list of errors', { status: 400, counts: { errors: null as never } }, 2, { settled: [], next: 'halve' }],
  ['errors that are none', { status: 400, counts: { errors: [null] as never } }, 2, { settled: [], next: 'halve' }],
  [
    'names that are not in the batch',
    { status: 400, counts: { errors: bad(7, -1, 0.5, 2) } },
    2,
    { settled: [], next: 'halve' },
  ],
];

test.each(cases)('%s', (_, answer, n, want) => {
  const { all, refused, next } = judge(answer, n);
  const named = Object.keys(refused).map(Number);
  const settled = all ? Array.from({ length: n }, (_, i) => i) : named;
  expect({ settled, refused: named, next }).toEqual({ refused: [], ...want });
});
