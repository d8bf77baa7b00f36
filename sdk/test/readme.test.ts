// @vitest-environment node
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parts } from '../scripts/sizes.js';
import { captures } from '../src/captures.js';
import * as functions from '../src/index.js';
import * as react from '../src/react.js';
import * as vue from '../src/vue.js';

const read = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8');
const readme = read('README.md');
const [, page, server] = /^([\s\S]*)\n## Servers\n([\s\S]*?)\n## /m.exec(readme) ?? [];

/** The names of an interface's members. */
const membersOf = (path: string, name: string) => {
  const [, body] = read(path).split(`interface ${name} {`);
  return [...body.split('\n}')[0].matchAll(/^ {2}(\w+)\??:/gm)].map(([, member]) => member);
};
/** The names in the first column of tables. */
const rowsOf = (text: string) =>
  [...text.matchAll(/^\| ([^|]+?) +\|/gm)].flatMap(([, cell]) => [...cell.matchAll(/`(\w+)/g)].map(([, name]) => name));

test.each([
  ['page', page, 'src/options.ts'],
  ['server', server, 'src/node/index.ts'],
])('every option of a %s has a row', (_, text, path) => {
  const options = membersOf(path, 'Options');
  expect(options).toContain('apiKey');
  expect(rowsOf(text)).toEqual(expect.arrayContaining(options));
});

test('everything that is tracked by itself has a row', () => {
  expect(rowsOf(page)).toEqual(expect.arrayContaining(Object.keys(captures)));
});

test('every function is told of', () => {
  const told = (name: string) => new RegExp(`\\b${name}\\b`).test(readme);
  const names = [functions, react, vue].flatMap((entry) => Object.keys(entry));
  expect(names.filter((name) => !told(name))).toEqual([]);
});

test('every size that has a budget is told, with the budget', () => {
  const told = readme.split('\n').map((line) => line.split(' | ').map((cell) => cell.replace(/^\| | *\|?$/g, '')));
  for (const { part, budget } of parts) {
    expect(told).toContainEqual([part, expect.stringMatching(/^\d+\.\d\d KiB$/), `${budget} KiB`]);
  }
});
