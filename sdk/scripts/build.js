import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as esbuild from 'esbuild';
import { minify } from 'terser';

export const sdk = dirname(dirname(fileURLToPath(import.meta.url)));
const target = 'es2019';

/** The scripts that the collector embeds, by the names of its files: committed, so that building it needs no Node. */
export const scripts = {
  'sdk.js': 'src/script.ts',
  'sdk-more.js': 'src/more-script.ts',
  'sdk-overlay.js': 'src/overlay-script.ts',
};
export const assets = join(sdk, '../services/collector/internal/api/assets');

/** In sdk.js, late.ts stands in the place of what sdk-more.js brings. */
const leaveOut = {
  name: 'leave out',
  setup: ({ onResolve }) =>
    onResolve({ filter: /(capture\/(dead|vitals)|feature\/ways)\.js$/ }, () => ({ path: join(sdk, 'src/late.ts') })),
};

/** Names that only the SDK's own parts call each other by, in all its scripts. */
const internal =
  'store steps ready turn post tell decide flushOnHide memory disk onNavigate remaining lost stamp take refused navigation wait flush url retryAfter counts track';
const names = Object.fromEntries(internal.split(' ').map((name, i) => [name, String.fromCharCode(97 + i)]));

/** What all scripts that the collector serves are built with. */
const served = (entry) => ({
  preamble: '/* Maidian, MIT */',
  plugins: entry === scripts['sdk.js'] ? [leaveOut] : [],
  mangleProps: RegExp(`^(${Object.keys(names).join('|')})$`),
  mangleCache: { ...names },
});

/** Bundles and minifies one entry, as a script tag or a bundler would get it; with a source map when that has a name. */
const pack = async (entry, { map, preamble, ...options } = {}) => {
  const { outputFiles } = await esbuild.build({
    ...(typeof entry === 'string' ? { entryPoints: [join(sdk, entry)] } : { stdin: { ...entry, resolveDir: sdk } }),
    absWorkingDir: sdk,
    bundle: true,
    minify: true,
    sourcemap: 'external',
    write: false,
    target,
    format: 'iife',
    outfile: 'out.js',
    ...options,
  });
  const [content, code] = outputFiles.map(({ text }) => text);
  // A second minifier takes out another twentieth, and leaves the first one's syntax alone.
  const sourceMap = map && { content, filename: map.replace(/\.map$/, ''), url: map };
  return minify(code, { ecma: 2019, toplevel: true, compress: { passes: 2 }, format: { preamble }, sourceMap });
};

/** The text of a bundle. */
export const bundle = async (entry, options) => (await pack(entry, options)).code;

/** The text of a script that the collector serves. */
export const script = (name = 'sdk.js') => bundle(scripts[name], served(scripts[name]));

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
    const published = name === 'sdk.js' ? 'tracking_sdk.js' : name;
    const { code, map } = await pack(entry, { ...served(entry), map: `${published}.map` });
    writeFileSync(join(dist, published), code);
    writeFileSync(join(dist, `${published}.map`), map);
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
