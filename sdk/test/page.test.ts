import { expect, test } from 'vitest';
import { cleanUrl } from '../src/page.js';

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
  ['', ''],
])('%s is sent as %s', (url, want) => {
  expect(cleanUrl(url)).toBe(want);
});
