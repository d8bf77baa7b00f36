import { each } from './each.js';

/** Small texts by key, shared by the tabs of a site as long as the browser lets it. */
export interface Store {
  get(key: string): string | null;
  set(key: string, value: string): void;
  remove(key: string): void;
  /** All there are, the page's own too. */
  keys(): string[];
  /** What is kept on the device; undefined keeps everything in `memory`. */
  disk?: Storage;
  /** What this page alone knows, because the disk did not take it. */
  readonly memory: Record<string, string>;
}

/** The words of a line in the store. */
export const wordsOf = (store: Store, key: string): string[] => (store.get(key) || '').split(' ');

/**
 * localStorage, with this page's memory in its place whenever it is missing, blocked or full. Every access may throw
 * (a sandboxed frame, cookies refused, quota), so every access is tried by itself and none is remembered as broken:
 * room that frees up is used again.
 */
export const openStore = (): Store => {
  const memory: Record<string, string> = {};
  const attempt = <T>(use: (disk: Storage) => T): T | undefined => {
    try {
      return use(store.disk as Storage);
    } catch {
      return undefined;
    }
  };
  const store: Store = {
    memory,
    get: (key) => memory[key] || attempt((disk) => disk.getItem(key)) || null,
    set: (key, value) => {
      memory[key] = value;
      attempt((disk) => {
        disk.setItem(key, value);
        delete memory[key];
      });
    },
    remove: (key) => {
      delete memory[key];
      attempt((disk) => disk.removeItem(key));
    },
    keys: () => {
      const found: Record<string, unknown> = { ...memory };
      attempt((disk) =>
        each(Object.keys(disk), (key) => {
          found[key] = 1;
        }),
      );
      return Object.keys(found);
    },
  };
  attempt(() => {
    store.disk = localStorage;
  });
  return store;
};
