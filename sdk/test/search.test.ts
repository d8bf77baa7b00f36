import { expect, test, vi } from 'vitest';
import { hideParams } from '../src/page.js';
import { news, start } from './watched.js';

const at = (url: string) => history.replaceState({}, '', url);
const go = async (url: string) => {
  history.pushState({}, '', url);
  await vi.advanceTimersByTimeAsync(5);
};

test.each([
  ['?q=blue+bowl', 'blue bowl'],
  ['?x=1&search=%F0%9F%8D%B5%20tea', '🍵 tea'],
  ['?s=&keyword=%20cup%20', 'cup'],
  ['?q=%E0%A4', '\ufffd'],
  [`?query=${'x'.repeat(500)}`, 'x'.repeat(200)],
])('the address says what was searched for: %s', (address, query) => {
  at(address);
  start(['search']);
  expect(news().slice(0, 1)).toEqual([['search', { properties: { query } }]]);
});

test.each(['?x=1', '?q=', '/q/s', '#q=a'])('no search: %s', (address) => {
  at(address);
  start(['search']);
  expect(news()).toEqual([]);
});

test('the next page of results is no other search; another word is', async () => {
  start(['search']);
  await go('/find?q=bowl');
  await go('/find?q=bowl&page=2');
  await go('/find?q=cup');
  await go('/item/7');
  await go('/find?q=cup');
  expect(news().map(([, { properties }]) => properties?.query)).toEqual(['bowl', 'cup', 'cup']);
});

test.each([
  ['https://shop.example/find?q=bowl', 0],
  ['https://shop.example/find?q=cup', 1],
  ['https://elsewhere.example/?q=bowl', 1],
  ['not an address', 1],
])('coming from %s', (referrer, searches) => {
  vi.spyOn(document, 'referrer', 'get').mockReturnValue(referrer);
  at('?q=bowl&page=2');
  start(['search']);
  expect(news()).toHaveLength(searches);
});

test('a site has its own names for it', () => {
  at('/?q=not-this&suche=schale');
  start(['search'], { searchParams: ['suche'] });
  expect(news()).toEqual([['search', { properties: { query: 'schale' } }]]);
});

test('what is hidden in addresses is no search either', () => {
  hideParams(['q']);
  at('/?q=secret');
  start(['search']);
  expect(news()).toEqual([]);
});
