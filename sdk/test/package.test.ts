// @vitest-environment node
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import * as esbuild from 'esbuild';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { packages } from '../scripts/build.js';

const sdk = dirname(dirname(fileURLToPath(import.meta.url)));
const entries = {
  '@maidian/sdk': [
    'initTracking',
    'trackEvent',
    'trackPageView',
    'setUserId',
    'getSessionId',
    'forceFlush',
    'getQueueLength',
  ],
  '@maidian/sdk/core': ['initCore', 'trackEvent'],
  '@maidian/sdk/features': ['autoTrack', 'consent', 'pageViews'],
  '@maidian/sdk/react': ['MaidianProvider', 'useTracking', 'useTrackEvent', 'useIdentify'],
  '@maidian/sdk/vue': ['maidian', 'useTracking', 'vTrack'],
  '@maidian/sdk/node': ['Maidian'],
};

vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 }); // npm and tsc run here

let folder: string;
let shop: string; // somebody's project
let installed: string; // the package in it

const run = (command: string, ...args: string[]) => {
  try {
    return execFileSync(command, args, { cwd: shop, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    throw new Error(`${command} ${args.join(' ')}:\n${stdout}${stderr}`);
  }
};
const node = (kind: 'module' | 'commonjs', program: string) =>
  run(process.execPath, `--input-type=${kind}`, '-e', program);
const filesOf = (place: string) =>
  (readdirSync(place, { recursive: true, encoding: 'utf8' }) as string[]).map((name) => name.replaceAll('\\', '/'));

/** Packs the package as it would be published, and installs it into a project, without any network. */
beforeAll(async () => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'maidian-package-')));
  const source = join(folder, 'source');
  shop = join(folder, 'shop');
  installed = join(shop, 'node_modules/@maidian/sdk');
  for (const name of ['package.json', 'README.md', 'LICENSE'])
    cpSync(join(sdk, name), join(source, name), { recursive: true });
  await packages(join(source, 'dist'));
  mkdirSync(shop);
  writeFileSync(join(shop, 'package.json'), '{ "private": true, "type": "module" }');
  run('npm', 'pack', '--silent', '--ignore-scripts', source);
  const [tarball] = filesOf(shop).filter((name) => name.endsWith('.tgz'));
  run('npm', 'install', '--silent', '--offline', '--ignore-scripts', '--no-audit', '--no-fund', `./${tarball}`);
  for (const peer of ['react', 'vue', '@types/react', '@types/node']) {
    mkdirSync(dirname(join(shop, 'node_modules', peer)), { recursive: true });
    symlinkSync(join(sdk, 'node_modules', peer), join(shop, 'node_modules', peer));
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('it brings its license and nothing else along', () => {
  expect(readFileSync(join(installed, 'LICENSE'), 'utf8')).toMatch(/^MIT/);
  expect(JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8')).dependencies).toBeUndefined();
  expect(readdirSync(join(shop, 'node_modules')).sort()).toEqual(
    ['.package-lock.json', '@maidian', '@types', 'react', 'vue'].sort(),
  );
});

test.each(Object.entries(entries))('%s can be imported and required, with the same names', (entry, names) => {
  const imported = JSON.parse(
    node('module', `import * as it from '${entry}'; console.log(JSON.stringify(Object.keys(it).sort()))`),
  );
  const required = JSON.parse(node('commonjs', `console.log(JSON.stringify(Object.keys(require('${entry}')).sort()))`));
  expect(imported).toEqual(expect.arrayContaining(names));
  expect(required.filter((name: string) => name !== '__esModule')).toEqual(imported);
});

test('the files for script tags are there', () => {
  for (const name of ['tracking_sdk.js', 'sdk-more.js', 'sdk-overlay.js']) {
    const program = `process.stdout.write(require.resolve('@maidian/sdk/${name}'))`;
    expect(readFileSync(node('commonjs', program), 'utf8').length).toBeGreaterThan(1000);
  }
});

const consumer = `
import { initTracking, trackEvent, type Fields, type Options, type Tracking } from '@maidian/sdk';
import { initCore } from '@maidian/sdk/core';
import { MaidianProvider, useTracking, useTrackEvent } from '@maidian/sdk/react';
import { maidian, type VueOptions } from '@maidian/sdk/vue';
import { createApp } from 'vue';

const options: Options = { apiKey: 'wk_1', autoTrack: { scroll: false } };
const tracking: Tracking | undefined = initTracking(options) ?? initCore(options);
const fields: Fields = { duration: 3, properties: { plan: 'pro' } };
trackEvent('signed_up', fields);
tracking?.watch((fate, events, why) => console.log(fate === 'rejected', events.length, why?.length));
export const hooks = [MaidianProvider, useTracking, useTrackEvent];
const vue: VueOptions = options;
createApp({}).use(maidian, vue);
// @ts-expect-error a key is needed
initTracking({});
// @ts-expect-error there is no such capture
initTracking({ apiKey: 'wk_1', autoTrack: { mouse: true } });
`;
const server = `
import { Maidian, type Problem } from '@maidian/sdk/node';

const problems: Problem[] = [];
const maidian = new Maidian({ apiUrl: 'https://c.example', apiKey: 'wk_1', onError: (problem) => problems.push(problem) });
maidian.track('invoice_paid', { user_id: 'ann', properties: { amount: 3 } });
export const left: Promise<{ event_id?: string }[]> = maidian.shutdown(100);
// @ts-expect-error an address is needed
new Maidian({ apiKey: 'wk_1' });
`;

test.each([
  ['a browser’s module', 'page.mts', consumer, { lib: ['ES2020', 'DOM'], types: [] }],
  ['a browser’s CommonJS', 'page.cts', consumer, { lib: ['ES2020', 'DOM'], types: [] }],
  [
    'a bundler’s module',
    'page.ts',
    consumer,
    { lib: ['ES2020', 'DOM'], types: [], module: 'ESNext', moduleResolution: 'Bundler' },
  ],
  ['a server’s module', 'server.mts', server, { lib: ['ES2022'], types: ['node'] }],
  ['a server’s CommonJS', 'server.cts', server, { lib: ['ES2022'], types: ['node'] }],
])('the types hold in %s', (_, file, text, options) => {
  writeFileSync(join(shop, file), text);
  const common = {
    strict: true,
    skipLibCheck: true,
    noEmit: true,
    target: 'ES2020',
    module: 'NodeNext',
    esModuleInterop: true,
  };
  const config = { compilerOptions: { ...common, ...options }, files: [file] };
  writeFileSync(join(shop, 'tsconfig.json'), JSON.stringify(config));
  run(process.execPath, join(sdk, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.json');
});

test('publint finds nothing', async () => {
  const { messages, pkg } = await publint({ pkgDir: installed, strict: true, level: 'warning' });
  expect(messages.map((message) => formatMessage(message, pkg))).toEqual([]);
});

test('each script has a source map with the source in it', () => {
  const scripts = filesOf(join(installed, 'dist')).filter((name) => name.endsWith('.js'));
  expect(scripts.length).toBeGreaterThan(50);
  for (const name of scripts) {
    const path = join(installed, 'dist', name);
    expect(readFileSync(path, 'utf8')).toContain(`//# sourceMappingURL=${name.split('/').at(-1)}.map`);
    const { sources, sourcesContent } = JSON.parse(readFileSync(`${path}.map`, 'utf8'));
    expect(sourcesContent.filter((text: string | null) => text)).toHaveLength(sources.length);
  }
});

/** What a bundler makes of the installed package. */
const bundled = async (contents: string) => {
  const { outputFiles } = await esbuild.build({
    stdin: { contents, resolveDir: shop },
    absWorkingDir: shop,
    bundle: true,
    minify: true,
    splitting: true,
    write: false,
    format: 'esm',
    target: 'es2020',
    outdir: 'out',
    external: ['react', 'vue'],
  });
  const [main, ...chunks] = outputFiles.map(({ text }) => text);
  return { size: gzipSync(main, { level: 9 }).length, main, chunks };
};

test('a bundler takes only what is imported', async () => {
  const little = await bundled("import { trackEvent } from '@maidian/sdk'; trackEvent('x')");
  expect(little.size).toBeLessThan(512);
  const core = await bundled("import { initCore } from '@maidian/sdk/core'; initCore({ apiKey: 'k' })");
  const all = await bundled("import { initTracking } from '@maidian/sdk'; initTracking({ apiKey: 'k' })");
  expect(core.size).toBeLessThan(all.size * 0.8);
  expect(all.main).not.toContain('maidian-debug');
  expect(all.chunks.join()).toContain('maidian-debug');
});

test.each(['react', 'vue'])('what %s adds is little', async (name) => {
  const functions = "export { identify, initTracking, setUserId, trackEvent } from '@maidian/sdk'";
  const [without, added] = [
    await bundled(functions),
    await bundled(`export * from '@maidian/sdk/${name}'; ${functions}`),
  ];
  expect(added.size - without.size).toBeLessThanOrEqual(512);
});

test('bundlers for servers’ rendering keep React’s mark of client code', () => {
  for (const format of ['esm', 'cjs']) {
    expect(readFileSync(join(installed, 'dist', format, 'react.js'), 'utf8')).toMatch(
      /^(["']use strict["'];\s*)?["']use client["']/,
    );
  }
});
