import { retryAfter } from './backoff.js';
import { parsed } from './json.js';

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

/**
 * Sends a body. `keepalive` lets the request outlive the page. `leaving` says that the page may be gone in a moment, so
 * there is no time to prepare anything.
 */
export type Post = (
  body: BodyInit,
  keepalive?: boolean,
  leaving?: boolean,
  headers?: Record<string, string>,
) => Promise<Answer>;

const TIMEOUT = 15_000;

/** A signal that ends what takes too long, where the browser has such. */
export const within = (time: number): AbortSignal | undefined => AbortSignal.timeout && AbortSignal.timeout(time);

/**
 * Bodies go as text/plain with everything in them, the write key too, so that a browser asks no permission first (no
 * preflight). The `fetch` is the one that the browser had when tracking started, whatever the page does with it later.
 */
export const openPost = (url: string): Post => {
  const { fetch } = window;
  return async (body, keepalive, _leaving, headers) => {
    try {
      const response = await fetch(url, {
        method: 'POST',
        body,
        keepalive,
        credentials: 'omit',
        headers,
        signal: within(TIMEOUT),
      });
      return {
        status: response.status,
        retryAfter: retryAfter(response.headers.get('Retry-After')),
        counts: parsed(await response.text()),
      };
    } catch {
      return { status: 0 };
    }
  };
};
