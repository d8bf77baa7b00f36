import { gunzipSync } from 'node:zlib';
import { vi } from 'vitest';

export interface Batch {
  api_key: string;
  sent_at: number;
  events: { event_id: string; [field: string]: unknown }[];
}

export interface Reply {
  status: number;
  json?: unknown;
  headers?: Record<string, string>;
}

class KeepsAlive {
  get keepalive() {
    return true;
  }
}

/** Takes the place of `fetch`: keeps what a collector would have stored, and answers as the test says. */
export const fakeCollector = () => {
  const stored = new Map<string, Batch['events'][number]>();
  const requests: { url: string; batch: Batch; keepalive: boolean; text: string }[] = [];
  let reply: (batch: Batch) => Reply | 'down' | 'lost' = () => ({ status: 200 });

  const store = (batch: Batch) => batch.events.forEach((event) => stored.set(event.event_id, event));
  const fetch = async (url: string, init: RequestInit) => {
    const { body } = init;
    const text = body instanceof Blob ? `${gunzipSync(new Uint8Array(await body.arrayBuffer()))}` : String(body);
    const batch = JSON.parse(text) as Batch;
    requests.push({ url, batch, keepalive: !!init.keepalive, text });
    await new Promise((answered) => setTimeout(answered, 50));
    const answer = reply(batch);
    if (answer === 'lost') store(batch); // stored, but the answer never arrives
    if (answer === 'down' || answer === 'lost') throw new TypeError('Failed to fetch');
    if (answer.status === 200 && !answer.json) store(batch);
    const json = answer.json ?? (answer.status === 200 ? { accepted: batch.events.length, rejected: 0 } : {});
    return new Response(typeof json === 'string' ? json : JSON.stringify(json), answer);
  };
  vi.stubGlobal('fetch', fetch);
  vi.stubGlobal('Request', KeepsAlive);
  return {
    stored,
    requests,
    store,
    sizes: () => requests.map(({ batch }) => batch.events.length),
    answer: (how: typeof reply) => {
      reply = how;
    },
  };
};
