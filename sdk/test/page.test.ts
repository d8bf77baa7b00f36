import { expect, test, vi } from 'vitest';
import { cleanUrl, hideParams, pageFields } from '../src/page.js';

test.each([
  ['https://a.example/p?x=1&y=2#top', 'https://a.example/p?x=1&y=2#top'],
  ['https://a.example/p?token=abc', 'https://a.example/p'],
  ['https://a.example/p?x=1&access_token=abc&y=2', 'https://a.example/p?x=1&y=2'],
  ['https://a.example/p?Password=abc&y=2#z', 'https://a.example/p?y=2#z'],
  ['https://a.example/p?email=a%40b.example#z', 'https://a.example/p#z'],
  ['https://a.example/cb#access_token=abc&state=1', 'https://a.example/cb#state=1'],
  ['https://ann:secret@a.example/p', 'https://a.example/p'],
  ['https://a.example/token/p?tokens', 'https://a.example/token/p?tokens'],
  ['/relative?api_key=1&q=2', '/relative?q=2'],
  ['https://a.example/@ann?x=a@b', 'https://a.example/@ann?x=a@b'],
  ['https://a.example/p?user%5Bemail%5D=a&user[phone]=1&n=1', 'https://a.example/p?n=1'],
  [
    'https://a.example/p?author=ann&passage=3&side=left&tel=1',
    'https://a.example/p?author=ann&passage=3&side=left&tel=1',
  ],
  ['https://a.example/p?oauth_verifier=1&PHPSESSID=2&sid=3&user_pwd=4&sig=5', 'https://a.example/p'],
  ['https://a.example/login?next=%2Fdo%3Ftoken%3Dabc&x=1', 'https://a.example/login?x=1'],
  ['https://a.example/#/reset?token=abc&x=1', 'https://a.example/#/reset?x=1'],
  ['https://a.example/cb#id_token=abc', 'https://a.example/cb'],
  ['data:text/html,<b>s3cret</b>\n', 'data:'],
  ["javascript:send('s3cret')", 'javascript:'],
  [`https://a.example/?x=${'y'.repeat(9999)}`, `https://a.example/?x=${'y'.repeat(2048 - 21)}`],
  ['', ''],
])('%s is sent as %s', (url, want) => {
  expect(cleanUrl(url)).toBe(want);
});

test('a site adds its own names, whole ones, large or small', () => {
  hideParams(['Customer', 'ref_id']);
  const url = 'https://a.example/?customer=7&REF_ID=8&customers=9&token=1&x=customer#ref_id=8';
  expect(cleanUrl(url)).toBe('https://a.example/?customers=9&x=customer');
  hideParams();
  expect(cleanUrl('/?customer=7')).toBe('/?customer=7');
});

test('the window is measured once, until it changes', () => {
  const read = vi.spyOn(window, 'innerWidth', 'get').mockReturnValue(800);
  window.dispatchEvent(new Event('resize'));
  expect([pageFields(), pageFields()].map((fields) => fields.viewport_size)).toEqual(['800x768', '800x768']);
  expect(read).toHaveBeenCalledTimes(1);
  read.mockReturnValue(400);
  window.dispatchEvent(new Event('resize'));
  expect(pageFields().viewport_size).toBe('400x768');
});
