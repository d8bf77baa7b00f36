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

export interface Transport {
  /** `keepalive` lets the request outlive the page. */
  post(body: BodyInit, keepalive: boolean, headers?: Record<string, string>): Promise<Answer>;
  /** Sends without ever hearing an answer. */
  beacon(body: string): void;
}

export const KEEPALIVE_BYTES = 60_000; // the browser's own limit is 64 KiB, for all such requests of a page together
const TIMEOUT = 15_000;

const milliseconds = (header: string | null): number => {
  const seconds = Number(header);
  return seconds >= 0 ? seconds * 1000 : Math.max(Date.parse(header as string) - Date.now(), 0) || 0;
};

/**
 * Sends bodies as text/plain with everything in them, the write key too, so that a browser asks no permission first (no
 * preflight). It keeps to the `fetch` that the browser had when it was opened, whatever the page does with it later.
 */
export const openTransport = (url: string): Transport => {
  const { fetch } = window;
  return {
    post: async (body, keepalive, headers) => {
      try {
        const response = await fetch(url, {
          method: 'POST',
          body,
          keepalive,
          credentials: 'omit',
          headers: { 'Content-Type': 'text/plain', ...headers },
          signal: AbortSignal.timeout?.(TIMEOUT),
        });
        return {
          status: response.status,
          retryAfter: milliseconds(response.headers.get('Retry-After')),
          counts: parsed(await response.text()),
        };
      } catch {
        return { status: 0 };
      }
    },
    beacon: (body) => {
      navigator.sendBeacon?.(url, body);
    },
  };
};
