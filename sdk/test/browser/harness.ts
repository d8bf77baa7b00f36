import { existsSync } from 'node:fs';
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { type Browser, chromium, type LaunchOptions } from 'playwright-core';
import { expect, inject } from 'vitest';
import { uuid } from '../../src/uuid.js';

export interface StoredEvent {
  event_id: string;
  event_type: string;
  timestamp: string;
  // biome-ignore lint/suspicious/noExplicitAny: a row as the query service answers it
  [field: string]: any;
}

const executable = [
  process.env.CHROMIUM,
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
].find((path) => path && existsSync(path));

export const openBrowser = (more: LaunchOptions = {}): Promise<Browser> => {
  if (!executable) throw new Error('no Chromium found: install the package chromium, or set CHROMIUM to its path');
  const quiet = ['--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update'];
  return chromium.launch({
    ...more,
    executablePath: executable,
    args: ['--no-sandbox', '--disable-gpu', '--disable-sync', ...quiet, ...(more.args ?? [])],
  });
};

const listen = async (handle: (request: IncomingMessage, response: ServerResponse) => void) => {
  const server: Server = createServer(handle);
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
  const stop = () =>
    new Promise<void>((stopped) => {
      server.close(() => stopped());
      server.closeAllConnections();
    });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, stop };
};

/** What stands between browser and collector may do to a batch on its way. */
export type Trouble = 'none' | 'lost answer' | 'cut' | { status: number; retryAfter?: number };

/** The collector as the browser sees it: through a proxy, which counts the batches and makes trouble when told to. */
export const startProxy = async () => {
  const collector = new URL(inject('collector'));
  const batches: { events: number; answer: Trouble }[] = [];
  let troubleFor: (events: number) => Trouble = () => 'none';

  const forward = (incoming: IncomingMessage, body: Buffer, response?: ServerResponse) => {
    const options = { host: collector.hostname, port: collector.port, path: incoming.url, method: incoming.method };
    const onward = request({ ...options, headers: incoming.headers }, (answer) => {
      response?.writeHead(answer.statusCode ?? 502, answer.headers);
      if (response) answer.pipe(response);
      else answer.resume().on('end', () => incoming.socket.destroy());
    });
    onward.on('error', () => incoming.socket.destroy());
    onward.end(body);
  };
  const handle = (incoming: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = [];
    incoming.on('error', () => {});
    incoming.on('data', (chunk) => chunks.push(chunk));
    incoming.on('end', () => {
      const body = Buffer.concat(chunks);
      if (incoming.method !== 'POST') return forward(incoming, body, response);
      const text = incoming.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body;
      const events = JSON.parse(`${text}`).events.length;
      const trouble = troubleFor(events);
      batches.push({ events, answer: trouble });
      if (trouble === 'none') forward(incoming, body, response);
      else if (trouble === 'lost answer') forward(incoming, body);
      else if (trouble === 'cut') incoming.socket.destroy();
      else {
        response.writeHead(trouble.status, {
          'Access-Control-Allow-Origin': '*',
          'Access-Control-Expose-Headers': 'Retry-After',
          ...(trouble.retryAfter && { 'Retry-After': trouble.retryAfter }),
        });
        response.end('{"error":{"code":"trouble"}}');
      }
    });
  };
  return {
    ...(await listen(handle)),
    batches,
    make: (trouble: Trouble | typeof troubleFor) => {
      troubleFor = typeof trouble === 'function' ? trouble : () => trouble;
    },
  };
};

/** A web site of another origin than the collector's. Any path shows `html(path)`. */
export const startSite = (html: (path: string) => string, headers: Record<string, string> = {}) =>
  listen((incoming, response) => {
    const page = new URL(incoming.url ?? '/', 'http://site');
    if (page.pathname === '/favicon.ico') return response.writeHead(404).end();
    response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8', ...headers });
    response.end(html(page.pathname));
  });

/** A path that only one test uses, so that it knows its own events again. */
export const ownPath = () => `/${uuid().slice(-12)}`;

/** The script tag; quick to send unless a test says otherwise. */
export const scriptTag = (collector: string, options = 'data-flush-interval="200"') =>
  `<script src="${collector}/sdk.js" data-api-key="wk_demo" ${options}></script>`;

/** Asks the query service. */
export const ask = async (path: string, body?: unknown) => {
  const response = await fetch(`${inject('query')}/api/v1/analytics/${path}`, {
    method: body ? 'POST' : 'GET',
    headers: { 'X-API-Key': 'rk_demo', 'Content-Type': 'application/json' },
    body: body ? JSON.stringify(body) : undefined,
  });
  const text = await response.text();
  expect(response.status, text).toBe(200);
  return JSON.parse(text);
};

/** All events stored for pages under `path`, oldest first. */
export const stored = async (path: string): Promise<StoredEvent[]> => {
  const filters = JSON.stringify([{ property: 'page_path', op: 'starts_with', value: path }]);
  const { events } = await ask(`events?limit=1000&days=2&filters=${encodeURIComponent(filters)}`);
  return events.sort((a: StoredEvent, b: StoredEvent) => (a.event_id < b.event_id ? -1 : 1));
};

/** Waits until `check` passes, for things that take their way through the system. */
export const eventually = async <T>(look: () => Promise<T> | T, check: (seen: T) => void): Promise<T> => {
  const until = Date.now() + 30_000;
  for (;;) {
    const seen = await look();
    try {
      check(seen);
      return seen;
    } catch (error) {
      if (Date.now() > until) throw error;
    }
    await new Promise((next) => setTimeout(next, 100));
  }
};

export const types = (events: StoredEvent[]) => events.map((event) => event.event_type);
