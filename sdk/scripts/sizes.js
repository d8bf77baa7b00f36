import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { bundle, script, sdk } from './build.js';

const functions = "export { identify, initTracking, setUserId, trackEvent } from './src/index.js';";
const library = { format: 'esm', external: ['react', 'vue', './overlay.js'] };
const code = (contents) => bundle({ contents }, library);

/** What people take of the SDK, at most how many KiB of it as gzip packs them, and what of it they have anyway. */
export const parts = [
  { part: '`sdk.js`', budget: 8, text: () => script('sdk.js') },
  { part: '`sdk-more.js`, once the page has loaded', budget: 4, text: () => script('sdk-more.js') },
  { part: '`sdk-overlay.js`, only for `?maidian_debug=1`', budget: 2, text: () => script('sdk-overlay.js') },
  {
    part: 'core alone: `initCore` of `@maidian/sdk/core`',
    budget: 3,
    text: () => code("import { initCore } from './src/core.js'; initCore({ apiKey: 'k' })"),
  },
  {
    part: 'core with addresses and page views',
    budget: 4.25,
    text: () =>
      code(`import { initCore } from './src/core.js'; import { autoTrack, pages, pageViews } from './src/features.js';
        initCore({ apiKey: 'k' }, [pages, autoTrack([pageViews])]);`),
  },
  {
    part: 'a module that only calls `trackEvent`',
    budget: 0.25,
    text: () => code("import { trackEvent } from './src/index.js'; trackEvent('x')"),
  },
  {
    part: 'what `@maidian/sdk/react` adds',
    budget: 0.5,
    text: () => code(`export * from './src/react.js'; ${functions}`),
    beyond: () => code(functions),
  },
  {
    part: 'what `@maidian/sdk/vue` adds',
    budget: 0.5,
    text: () => code(`export * from './src/vue.js'; ${functions}`),
    beyond: () => code(functions),
  },
];

const packed = (text) => gzipSync(text, { level: 9 }).length / 1024;

export const sizeOf = async ({ text, beyond }) => packed(await text()) - (beyond ? packed(await beyond()) : 0);

/** The files that the browser may get to see, each by itself, without what it imports. */
export const files = ['src', 'src/capture', 'src/vitals', 'src/feature'].flatMap((folder) =>
  readdirSync(join(sdk, folder))
    .filter((name) => name.endsWith('.ts') && !/^(overlay|features)/.test(name))
    .map((name) => join(folder, name)),
);
export const sizeOfFile = async (file) =>
  packed(await bundle(file, { format: 'esm', bundle: true, packages: 'external', external: ['./*', '../*'] }));

/** Puts the present sizes into README.md, between the two marks. */
const write = async () => {
  const readme = join(sdk, 'README.md');
  const rows = [['', 'gzip', 'at most']];
  for (const part of parts) {
    rows.push([part.part, `${(await sizeOf(part)).toFixed(2)} KiB`, `${part.budget} KiB`]);
  }
  const widths = [0, 1, 2].map((i) => Math.max(...rows.map((row) => row[i].length)));
  const lines = rows.map((row) => `| ${row.map((cell, i) => cell.padEnd(widths[i])).join(' | ')} |`);
  lines.splice(1, 0, `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`);
  const marked = /(<!-- sizes -->\n\n)[\s\S]*?(\n\n<!-- \/sizes -->)/;
  writeFileSync(
    readme,
    readFileSync(readme, 'utf8').replace(marked, (_, begin, end) => begin + lines.join('\n') + end),
  );
};

if (process.argv[1] === fileURLToPath(import.meta.url)) await write();
