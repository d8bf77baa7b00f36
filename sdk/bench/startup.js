// Prints what the SDK costs a page's main thread: each figure is the median of many first visits, beside those of the
// same page without the SDK, taken in turns. `LOADS=60 npm run bench -- --write` puts the table into README.md.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { assets, sdk } from '../scripts/build.js';

const LOADS = Number(process.env.LOADS ?? 30);
const SETTLED = 700; // milliseconds after the load, in which all that starts has started and one batch has been sent
const PHONE = 4; // times slower: about a phone of the middle class
const executablePath = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser'].find(
  (path) => path && existsSync(path),
);

const html = (script) => `<!doctype html><title>A page</title>${script}
  <h1>A page</h1><p><a href="/next">A link</a></p><div style="height:20000px">Much to scroll</div>`;
const variants = {
  without: html(''),
  with: html('<script async src="/sdk.js" data-api-key="wk_bench" data-flush-interval="200"></script>'),
};

/** The two pages, the scripts, and a collector that takes everything. */
const serve = () => {
  const scripts = new Map(['/sdk.js', '/sdk-more.js'].map((path) => [path, readFileSync(join(assets, path))]));
  const server = createServer((request, response) => {
    const answer = (type, content) => response.writeHead(200, { 'Content-Type': type }).end(content);
    if (scripts.has(request.url)) return answer('text/javascript', scripts.get(request.url));
    if (request.method === 'GET') return answer('text/html; charset=utf-8', variants[request.url.slice(1)] ?? '');
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      const events = (
        Buffer.concat(chunks)
          .toString()
          .match(/"event_type"/g) ?? []
      ).length;
      answer('application/json', JSON.stringify({ accepted: events, rejected: 0 }));
    });
  });
  return new Promise((ready) => server.listen(0, '127.0.0.1', () => ready(server)));
};

const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];

/** One first visit: nothing cached, nothing stored. All in milliseconds, but for the counts. */
const visit = async (browser, url, slower) => {
  const context = await browser.newContext();
  const page = await context.newPage();
  const session = await context.newCDPSession(page);
  await session.send('Performance.enable', { timeDomain: 'threadTicks' }); // not the time in which others had the processor
  await session.send('Emulation.setCPUThrottlingRate', { rate: slower });
  await page.addInitScript(() => {
    window.longTasks = [];
    new PerformanceObserver((list) => longTasks.push(...list.getEntries())).observe({
      type: 'longtask',
      buffered: true,
    });
  });
  const trace = slower === 1 ? await startTrace(session) : undefined;
  await page.goto(url, { waitUntil: 'load' });
  await page.waitForTimeout(SETTLED);
  const { metrics } = await session.send('Performance.getMetrics');
  const of = (name) => metrics.find((metric) => metric.name === name).value;
  const evaluated = trace && (await trace());
  const longTasks = await page.evaluate('longTasks.length');
  await context.close();
  return {
    task: of('TaskDuration') * 1000,
    script: of('ScriptDuration') * 1000,
    layouts: of('LayoutCount'),
    longTasks,
    evaluated,
  };
};

/** Follows how long the browser took to compile and run `sdk.js`, start-up and all. */
const startTrace = async (session) => {
  const events = [];
  session.on('Tracing.dataCollected', ({ value }) => events.push(...value));
  await session.send('Tracing.start', { categories: 'devtools.timeline,v8', transferMode: 'ReportEvents' });
  return async () => {
    const complete = new Promise((done) => session.once('Tracing.tracingComplete', done));
    await session.send('Tracing.end');
    await complete;
    const own = events.filter(
      ({ name, args }) => /^(EvaluateScript|v8\.compile)$/.test(name) && args?.data?.url?.endsWith('/sdk.js'),
    );
    return own.reduce((sum, { tdur = 0 }) => sum + tdur / 1000, 0);
  };
};

/** How often a page that is scrolled through has its layout read, at most in one frame, and how many frames there were. */
const scrolling = async (browser, url) => {
  const page = await browser.newPage();
  await page.addInitScript(() => {
    window.reads = [0];
    const tick = () => {
      reads.push(0);
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
    const { get } = Object.getOwnPropertyDescriptor(Element.prototype, 'scrollHeight');
    Object.defineProperty(Element.prototype, 'scrollHeight', {
      get() {
        reads[reads.length - 1]++;
        return get.call(this);
      },
    });
  });
  await page.goto(url, { waitUntil: 'load' });
  for (let i = 0; i < 100; i++) await page.mouse.wheel(0, 120);
  await page.waitForFunction('scrollY > 5000');
  const reads = await page.evaluate('reads');
  await page.close();
  return { frames: reads.filter(Boolean).length, most: Math.max(...reads) };
};

const server = await serve();
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });
const url = `http://127.0.0.1:${server.address().port}`;
const rows = [['', 'page without', 'page with SDK', 'difference', 'ratio']];
try {
  for (const slower of [1, PHONE]) {
    const visits = { without: [], with: [] };
    for (let i = 0; i < LOADS; i++) {
      for (const name of Object.keys(visits)) visits[name].push(await visit(browser, `${url}/${name}`, slower));
    }
    const figure = (label, of, digits = 1) => {
      const [without, using] = ['without', 'with'].map((name) => median(visits[name].map(of)));
      const ratio = without ? (using / without).toFixed(2) : '';
      rows.push([label, without.toFixed(digits), using.toFixed(digits), (using - without).toFixed(digits), ratio]);
    };
    const on = slower > 1 ? `, on a processor ${slower} times slower` : '';
    figure(`main thread busy until ${SETTLED} ms after the load, ms${on}`, ({ task }) => task);
    figure(`of that scripts, ms${on}`, ({ script }) => script);
    if (slower === 1) {
      const evaluated = median(visits.with.map(({ evaluated }) => evaluated));
      rows.push(['of that compiling, running and starting `sdk.js`, ms', '', evaluated.toFixed(1), '', '']);
      figure('layouts', ({ layouts }) => layouts, 0);
    }
    figure(`long tasks (50 ms)${on}`, ({ longTasks }) => longTasks, 0);
  }
  const { frames, most } = await scrolling(browser, `${url}/with`);
  rows.push([`layout reads in one frame while scrolling, at most (${frames} frames)`, '0', `${most}`, `${most}`, '']);
} finally {
  await browser.close();
  server.close();
}

const widths = rows[0].map((_, i) => Math.max(...rows.map((row) => row[i].length)));
const lines = rows.map((row) => `| ${row.map((cell, i) => cell.padEnd(widths[i])).join(' | ')} |`);
lines.splice(1, 0, `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`);
console.log(lines.join('\n'));
if (process.argv.includes('--write')) {
  const readme = join(sdk, 'README.md');
  const marked = /(<!-- performance -->\n\n)[\s\S]*?(\n\n<!-- \/performance -->)/;
  writeFileSync(
    readme,
    readFileSync(readme, 'utf8').replace(marked, (_, begin, end) => begin + lines.join('\n') + end),
  );
}
