import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { retryAfter } from '../backoff.js';
import type { Answer } from '../transport.js';

const WORTH_PACKING = 1024; // bytes; below, packing takes more time than it saves
const pack = promisify(gzip);

/** One request. No answer within the time, a cut connection and a host that is not there are all status 0. */
export const post = async (
  url: string,
  apiKey: string,
  agent: string,
  body: string,
  timeout: number,
): Promise<Answer> => {
  const packed = body.length >= WORTH_PACKING;
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), timeout);
  try {
    const response = await fetch(url, {
      method: 'POST',
      body: packed ? new Uint8Array(await pack(body)) : body,
      redirect: 'manual', // whoever it leads to has no business with the key
      signal: abort.signal,
      headers: {
        'Content-Type': 'application/json',
        'X-API-Key': apiKey,
        'User-Agent': agent,
        ...(packed && { 'Content-Encoding': 'gzip' }),
      },
    });
    const text = await response.text();
    return {
      status: response.status,
      counts: parsed(text),
      retryAfter: retryAfter(response.headers.get('Retry-After')),
    };
  } catch {
    return { status: 0 };
  } finally {
    clearTimeout(timer);
  }
};

/** Whoever stands before the collector may answer anything. */
const parsed = (text: string): Answer['counts'] => {
  try {
    return JSON.parse(text) ?? undefined;
  } catch {
    return undefined;
  }
};
