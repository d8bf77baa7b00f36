import { safely } from '../safely.js';
import type { Feature } from '../tracking.js';

const SHARED = /^md\.(anon|user|session|seq|campaign|consent)/;
const SECONDS = 400 * 24 * 60 * 60; // as long as browsers keep any

const read = safely((key: string): string | undefined => {
  const [, value] = `; ${document.cookie}`.split(`; ${key}=`);
  return value && decodeURIComponent(value.split(';')[0]);
});

/**
 * `cookieDomain` keeps who the visitor is in cookies, so that all subdomains know the same one. Where a browser takes no
 * cookies, the store stays in their place.
 */
export const cookies: Feature = ({ options: { cookieDomain }, store }) => {
  if (!cookieDomain) return;
  const { get, set, remove } = store;
  const secure = location.protocol === 'https:' ? ';secure' : '';
  const isShared = (key: string) => !!store.disk && SHARED.test(key);
  const write = safely((key: string, value: string, seconds: number) => {
    // biome-ignore lint/suspicious/noDocumentCookie: the one that has an answer at once, in every browser
    document.cookie = `${key}=${encodeURIComponent(value)};domain=${cookieDomain};path=/;max-age=${seconds};samesite=lax${secure}`;
  });
  store.get = (key) => (isShared(key) && read(key)) || get(key);
  store.set = (key, value) => {
    if (isShared(key)) {
      write(key, value, SECONDS);
      if (read(key) === value) return remove(key);
    }
    set(key, value);
  };
  store.remove = (key) => {
    if (isShared(key)) write(key, '', 0);
    remove(key);
  };
};
