/** Small texts by key, shared by the tabs of a site as long as the browser lets it. */
export interface Store {
  get(key: string): string | null;
  set(key: string, value: string): void;
  remove(key: string): void;
  keys(prefix: string): string[];
}

/**
 * localStorage, with this page's memory in its place whenever it is missing, blocked or full. Every access may throw
 * (a sandboxed frame, cookies refused, quota), so every access is tried by itself and none is remembered as broken:
 * room that frees up is used again.
 */
export const openStore = (disk: () => Storage = () => localStorage): Store => {
  const memory = new Map<string, string>();
  const attempt = <T>(use: (disk: Storage) => T): T | undefined => {
    try {
      return use(disk());
    } catch {
      return undefined;
    }
  };
  return {
    get: (key) => memory.get(key) ?? attempt((d) => d.getItem(key)) ?? null,
    set: (key, value) => {
      const kept = attempt((d) => {
        d.setItem(key, value);
        return true;
      });
      if (kept) memory.delete(key);
      else memory.set(key, value);
    },
    remove: (key) => {
      memory.delete(key);
      attempt((d) => d.removeItem(key));
    },
    keys: (prefix) => {
      const keys = new Set([...memory.keys(), ...(attempt((d) => Object.keys(d)) ?? [])]);
      return [...keys].filter((key) => key.startsWith(prefix));
    },
  };
};
