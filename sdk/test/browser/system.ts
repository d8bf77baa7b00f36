import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  export interface ProvidedContext {
    collector: string;
    query: string;
  }
}

const binary = process.env.MAIDIAN_BIN ?? fileURLToPath(new URL('../../../bin/maidian', import.meta.url));
const STARTING = 60_000;

/** Starts the whole system in one process on free ports, with a data directory of its own, for all test files. */
export default async (project: TestProject) => {
  if (!existsSync(binary)) throw new Error(`${binary} is not there: build it with make build, or set MAIDIAN_BIN`);
  const data = mkdtempSync(join(tmpdir(), 'maidian-browser-'));
  const system = spawn(binary, ['serve', '-listen', '127.0.0.1:0', '-query-listen', '127.0.0.1:0', '-data', data], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const stop = async () => {
    await end(system);
    rmSync(data, { recursive: true, force: true });
  };
  try {
    const { collector, query } = await addresses(system);
    project.provide('collector', collector);
    project.provide('query', query);
  } catch (error) {
    await stop();
    throw error;
  }
  return stop;
};

/** The two addresses, as the command prints them once it is ready. */
const addresses = (system: ChildProcess) =>
  new Promise<{ collector: string; query: string }>((resolve, reject) => {
    let output = '';
    const fail = (why: string) => reject(new Error(`maidian serve ${why}:\n${output}`));
    const timer = setTimeout(() => fail('printed no addresses'), STARTING);
    const read = (chunk: Buffer) => {
      output += chunk;
      const collector = /collector\b[^\n]*?(http:\/\/[\d.]+:\d+)/i.exec(output)?.[1];
      const query = /query\b[^\n]*?(http:\/\/[\d.]+:\d+)/i.exec(output)?.[1];
      if (!collector || !query) return;
      clearTimeout(timer);
      resolve({ collector, query });
    };
    system.stdout?.on('data', read);
    system.stderr?.on('data', read);
    system.on('error', (error) => fail(`did not start (${error.message})`));
    system.on('exit', (code) => fail(`ended with ${code}`));
  });

const end = (system: ChildProcess) =>
  new Promise<void>((ended) => {
    if (system.exitCode !== null || !system.pid) return ended();
    system.on('exit', () => ended());
    system.kill('SIGTERM');
  });
