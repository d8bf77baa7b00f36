import { expect, test, vi } from 'vitest';
import { followNavigation } from '../src/navigation.js';
import { fire, start, types, undo } from './watched.js';

const follow = (options = {}) => {
  const navigation = followNavigation(options);
  undo.push(navigation.stop);
  const pages: string[] = [];
  navigation.onNavigate((left) => pages.push(`${left.slice(20)} > ${location.href.slice(20)}`));
  return pages;
};
const soon = () => vi.advanceTimersByTimeAsync(5);

test.each<[string, object, () => void, string[]]>([
  ['another path', {}, () => history.pushState({}, '', '/a'), ['/start > /a']],
  ['another query', {}, () => history.pushState({}, '', '?page=2'), ['/start > /start?page=2']],
  ['a path in place of this one', {}, () => history.replaceState({}, '', '/a'), ['/start > /a']],
  [
    'the part after #, when asked',
    { hashRoutes: true },
    () => history.pushState({}, '', '#/a'),
    ['/start > /start#/a'],
  ],
  ['a query in place of this one: a filter', {}, () => history.replaceState({}, '', '?sort=price'), []],
  ['the same address', {}, () => history.pushState({ at: 1 }, '', '/start'), []],
  ['the part after #, when not asked', {}, () => history.pushState({}, '', '#a'), []],
])('what is a page of its own: %s', async (_, options, go, pages) => {
  const seen = follow(options);
  go();
  await soon();
  expect(seen).toEqual(pages);
});

test('a filter changes where the next page was come from', async () => {
  const seen = follow();
  history.replaceState({}, '', '?sort=price');
  await soon();
  history.pushState({}, '', '/a');
  history.replaceState({}, '', '/a?tab=1');
  await soon();
  expect(seen).toEqual(['/start?sort=price > /a?tab=1']);
});

test('going back is a page too', async () => {
  history.replaceState({}, '', '/a');
  const seen = follow();
  history.replaceState({}, '', '/a?x=1');
  fire(window, 'popstate');
  await soon();
  expect(seen).toEqual(['/a > /a?x=1']);
});

test('a page that is left at once is seen and left all the same', () => {
  start(['leave', 'pageViews']);
  history.pushState({}, '', '/a');
  fire(window, 'pagehide');
  expect(types()).toEqual(['page_view', 'page_leave', 'page_view', 'page_leave']);
});
