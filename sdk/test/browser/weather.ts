import { createServer, type IncomingHttpHeaders, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';
import type { Chance } from './chance.js';

interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

/** A batch on its way, and what can be done to it. */
interface Batch {
  events: number;
  chance: Chance;
  /** Brings it to the collector and comes back with the answer, for which the browser still waits. */
  forward(): Promise<Answer>;
  reply(status: number, body: string | Buffer, headers?: IncomingHttpHeaders): void;
  /** Gives the browser the beginning of an answer, then breaks the connection. */
  replyHalf(answer: Answer): void;
  cut(): void;
}

const pause = (ms: number) => new Promise((over) => setTimeout(over, ms));
const refusal = '{"error":{"code":"weather"}}';
const pass = async (batch: Batch) => {
  const { status, body, headers } = await batch.forward();
  batch.reply(status, body, headers);
};

/** What a network, or somebody on the way, may do to a batch. */
const troubles = {
  'answered 503': (batch: Batch) => batch.reply(503, refusal, { 'retry-after': `${batch.chance.from(1, 3)}` }),
  'answered 503 without a word': (batch: Batch) => batch.reply(503, ''),
  'answered 429': (batch: Batch) => batch.reply(429, refusal, { 'retry-after': `${batch.chance.from(1, 5)}` }),
  'answered 500': (batch: Batch) => batch.reply(500, refusal),
  'answered 408': (batch: Batch) => batch.reply(408, refusal),
  'answered 413 when of more than 3': (batch: Batch) => (batch.events > 3 ? batch.reply(413, refusal) : pass(batch)),
  'answered by somebody else': (batch: Batch) =>
    batch.reply(200, '<!doctype html><title>Log in to the network</title>'),
  'cut on the way there': (batch: Batch) => batch.cut(),
  'cut on the way back': async (batch: Batch) => {
    await batch.forward();
    batch.cut();
  },
  'cut within the answer': async (batch: Batch) => batch.replyHalf(await batch.forward()),
  'taken, but answered 503': async (batch: Batch) => {
    await batch.forward();
    batch.reply(503, refusal);
  },
  'slow on the way there': async (batch: Batch) => {
    await pause(batch.chance.from(50, 400));
    await pass(batch);
  },
  'slow on the way back': async (batch: Batch) => {
    const { status, body, headers } = await batch.forward();
    await pause(batch.chance.from(50, 400));
    batch.reply(status, body, headers);
  },
};

export type Trouble = keyof typeof troubles;
export const everyTrouble = Object.keys(troubles) as Trouble[];

/** The network of one visitor: which troubles it makes, and how likely each batch meets one. */
export interface Sky {
  chance: Chance;
  troubles: readonly Trouble[];
  share: number;
  /** How many batches met what; "passed" met nothing. */
  met: Record<string, number>;
}

/**
 * Stands between browsers and the collector. Each visitor has an address of their own here, `url/<name>`, and a sky of
 * their own, that can be changed at any time.
 */
export const startWeather = async (collector: URL) => {
  const skies = new Map<string, Sky>();

  const meet = async (incoming: IncomingMessage, response: ServerResponse, body: Buffer) => {
    const [, name, ...rest] = (incoming.url ?? '').split('/');
    const sky = skies.get(name);
    const forward = () =>
      new Promise<Answer>((answered, failed) => {
        const { host: _, ...headers } = incoming.headers;
        const { hostname, port } = collector;
        const path = sky ? `/${rest.join('/')}` : incoming.url;
        const onward = request({ hostname, port, path, method: incoming.method, headers }, (answer) => {
          const chunks: Buffer[] = [];
          answer.on('data', (chunk) => chunks.push(chunk));
          answer.on('error', failed);
          answer.on('end', () =>
            answered({ status: answer.statusCode ?? 502, headers: answer.headers, body: Buffer.concat(chunks) }),
          );
        });
        onward.on('error', failed);
        onward.end(body);
      });
    const common = { 'access-control-allow-origin': '*', 'access-control-expose-headers': 'Retry-After' };
    const batch: Batch = {
      events: 0,
      chance: sky?.chance as Chance,
      forward,
      reply: (status, text, headers) => response.writeHead(status, { ...common, ...headers }).end(text),
      replyHalf: ({ status, headers, body: whole }) => {
        response.writeHead(status, headers);
        response.write(whole.subarray(0, whole.length / 2), () => response.destroy());
      },
      cut: () => response.destroy(),
    };
    if (!sky || incoming.method !== 'POST') return await pass(batch);
    const text = incoming.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body;
    batch.events = JSON.parse(`${text}`).events.length;
    const trouble = sky.troubles.length && sky.chance.happens(sky.share) ? sky.chance.of(sky.troubles) : undefined;
    const met = trouble ?? 'passed';
    sky.met[met] = (sky.met[met] ?? 0) + 1;
    await (trouble ? troubles[trouble] : pass)(batch);
  };

  const server = createServer((incoming, response) => {
    const chunks: Buffer[] = [];
    incoming.on('error', () => {}); // a browser that is gone
    response.on('error', () => {});
    incoming.on('data', (chunk) => chunks.push(chunk));
    incoming.on('end', () => meet(incoming, response, Buffer.concat(chunks)).catch(() => response.destroy()));
  });
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    skies,
    stop: () =>
      new Promise<void>((stopped) => {
        server.close(() => stopped());
        server.closeAllConnections();
      }),
  };
};
