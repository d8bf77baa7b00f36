/** What came back for a batch. Status 0: no answer at all. */
export interface Answer {
  status: number;
  counts?: Counts;
  /** Milliseconds for which the server asks for a pause. */
  retryAfter?: number;
}

/** The collector's account of a batch. */
export interface Counts {
  accepted?: number;
  rejected?: number;
  errors?: { index: number; code?: string; field?: string; message?: string }[];
}

export const KEEPALIVE_BYTES = 60_000; // the browser's own limit is 64 KiB, for all such requests of a page together
const TIMEOUT = 15_000;

const milliseconds = (header: string | null): number | undefined => {
  if (!header) return undefined;
  const seconds = Number(header);
  const wait = Number.isNaN(seconds) ? Date.parse(header) - Date.now() : seconds * 1000;
  return wait > 0 ? wait : undefined;
};

/**
 * Sends a body as text/plain with everything in it, the write key too, so that a browser asks no permission first (no
 * preflight). `keepalive` lets the request outlive the page.
 */
export const post = async (url: string, body: string, keepalive: boolean): Promise<Answer> => {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), TIMEOUT);
  try {
    const response = await fetch(url, {
      method: 'POST',
      body,
      keepalive,
      credentials: 'omit',
      headers: { 'Content-Type': 'text/plain' },
      signal: abort.signal,
    });
    return {
      status: response.status,
      counts: await response.json().catch(() => undefined),
      retryAfter: milliseconds(response.headers.get('Retry-After')),
    };
  } catch {
    return { status: 0 };
  } finally {
    clearTimeout(timer);
  }
};

/** For browsers whose fetch does not outlive the page: sends without ever hearing an answer. */
export const beacon = (url: string, body: string): void => {
  navigator.sendBeacon?.(url, body);
};

export const canKeepAlive = (): boolean => 'keepalive' in Request.prototype;
