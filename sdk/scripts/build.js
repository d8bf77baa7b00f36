import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as esbuild from 'esbuild';

const sdk = dirname(dirname(fileURLToPath(import.meta.url)));
const target = 'es2019';

/** The script-tag build that the collector embeds: committed, so that building the collector needs no Node. */
export const served = join(sdk, '../services/collector/internal/api/assets/sdk.js');

/** Bundles and minifies one entry, as a script tag or a bundler would get it; returns the text. */
export const bundle = async (entry, options = {}) => {
  const { outputFiles } = await esbuild.build({
    ...(typeof entry === 'string' ? { entryPoints: [join(sdk, entry)] } : { stdin: { ...entry, resolveDir: sdk } }),
    absWorkingDir: sdk,
    bundle: true,
    minify: true,
    write: false,
    legalComments: 'none',
    target,
    format: 'iife',
    outfile: 'out.js',
    ...options,
  });
  return outputFiles.at(-1).text;
};

/** The text of the script-tag build. */
export const script = () => bundle('src/script.ts', { banner: { js: '/* Maidian browser SDK, MIT */' } });

/** ES modules and CommonJS, file by file, so that a bundler takes only what is imported; and the types beside both. */
const packages = async () => {
  const dist = join(sdk, 'dist');
  rmSync(dist, { recursive: true, force: true });
  const files = readdirSync(join(sdk, 'src'), { recursive: true, encoding: 'utf8' }).filter(
    (name) => name.endsWith('.ts') && name !== 'script.ts',
  );
  const common = { absWorkingDir: sdk, target, sourcemap: true };
  for (const format of ['esm', 'cjs']) {
    await esbuild.build({
      ...common,
      entryPoints: files.map((name) => join('src', name)),
      outdir: join('dist', format),
      format,
    });
  }
  await esbuild.build({
    ...common,
    entryPoints: { tracking_sdk: 'src/script.ts' },
    outdir: 'dist',
    bundle: true,
    minify: true,
    format: 'iife',
  });
  const tsc = join(sdk, 'node_modules/typescript/bin/tsc');
  const declarations = ['--project', sdk, '--emitDeclarationOnly', '--outDir', join(dist, 'esm')];
  execFileSync(process.execPath, [tsc, ...declarations], { stdio: 'inherit' });
  for (const name of readdirSync(join(dist, 'esm'), { recursive: true, encoding: 'utf8' })) {
    if (name.endsWith('.d.ts')) cpSync(join(dist, 'esm', name), join(dist, 'cjs', name));
  }
  writeFileSync(join(dist, 'cjs/package.json'), '{ "type": "commonjs" }\n');
};

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await packages();
  mkdirSync(dirname(served), { recursive: true });
  writeFileSync(served, await script());
}
