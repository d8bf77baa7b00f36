import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as esbuild from 'esbuild';

const sdk = dirname(dirname(fileURLToPath(import.meta.url)));
const target = 'es2019';

/** The scripts that the collector embeds, by the names of its files: committed, so that building it needs no Node. */
export const scripts = { 'sdk.js': 'src/script.ts', 'sdk-overlay.js': 'src/overlay-script.ts' };
export const assets = join(sdk, '../services/collector/internal/api/assets');

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

/** The text of a script that the collector serves. */
export const script = (name = 'sdk.js') => bundle(scripts[name], { banner: { js: '/* Maidian browser SDK, MIT */' } });

const isEntry = (name) => Object.values(scripts).includes(`src/${name}`);

const declarations = (project, outDir) =>
  execFileSync(
    process.execPath,
    [
      join(sdk, 'node_modules/typescript/bin/tsc'),
      '--project',
      join(sdk, project),
      '--emitDeclarationOnly',
      '--rootDir',
      join(sdk, 'src'),
      '--outDir',
      outDir,
    ],
    { stdio: 'inherit' },
  );

/** ES modules and CommonJS, file by file, so that a bundler takes only what is imported; and the types beside both. */
export const packages = async (dist = join(sdk, 'dist')) => {
  rmSync(dist, { recursive: true, force: true });
  const files = readdirSync(join(sdk, 'src'), { recursive: true, encoding: 'utf8' }).filter(
    (name) => name.endsWith('.ts') && !isEntry(name),
  );
  const common = { absWorkingDir: sdk, target, sourcemap: true };
  for (const format of ['esm', 'cjs']) {
    await esbuild.build({
      ...common,
      entryPoints: files.map((name) => join('src', name)),
      outdir: join(dist, format),
      format,
      supported: { 'dynamic-import': format === 'esm' },
    });
  }
  for (const [name, entry] of Object.entries(scripts)) {
    const outfile = join(dist, name === 'sdk.js' ? 'tracking_sdk.js' : name);
    await esbuild.build({ ...common, entryPoints: [entry], outfile, bundle: true, minify: true, format: 'iife' });
  }
  declarations('tsconfig.json', join(dist, 'esm'));
  declarations('tsconfig.node.json', join(dist, 'esm'));
  for (const name of readdirSync(join(dist, 'esm'), { recursive: true, encoding: 'utf8' })) {
    if (isEntry(name.replace('.d.ts', '.ts'))) rmSync(join(dist, 'esm', name));
    else if (name.endsWith('.d.ts')) cpSync(join(dist, 'esm', name), join(dist, 'cjs', name));
  }
  writeFileSync(join(dist, 'cjs/package.json'), '{ "type": "commonjs" }\n');
};

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await packages();
  mkdirSync(assets, { recursive: true });
  for (const name of Object.keys(scripts)) writeFileSync(join(assets, name), await script(name));
}
