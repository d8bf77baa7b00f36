import type { Browser, BrowserContext, Page } from 'playwright-core';
import { type Chance, openChance } from './chance.js';
import { everyTrouble, type Sky } from './weather.js';

type Maidian = typeof import('../../src/index.js');
declare const maidian: Maidian;

/** An event as the page made it, before it got its number. */
export interface Made {
  event_id: string;
  event_type: string;
  timestamp: number;
  anonymous_id: string;
  properties?: Record<string, unknown>;
  [field: string]: unknown;
}

/** Something that the SDK gave up, or that was refused, with the number that it had. */
export interface Lost {
  fate: 'dropped' | 'rejected';
  why: string;
  event_id: string;
  $sequence?: number;
  anonymous_id: string;
}

/** What became of one visitor, as their pages told it. */
export interface Walk {
  seed: number;
  story: string[];
  made: Map<string, Made>;
  lost: Map<string, Lost>;
  sky: Sky;
  /** By how many milliseconds the visitor's clock was ever ahead. */
  offsets: number[];
  /** How many events the last page still had, after the network had been healed. */
  left: number;
  errors: string[];
}

/** A browser of its own, in which one visitor after the other walks about: starting one costs more than a walk. */
export interface Lane {
  context: BrowserContext;
  /** In which the last visitor ended, and the next one begins. */
  tab: Page;
  walk?: Walk;
}

const PATIENCE = 20_000; // with a busy machine
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const TELLING = 'walk:';

/** What each document does before its own scripts run: has a clock that can be put forward, and tells what the SDK makes. */
const watchman = (telling: string) => {
  const real = Date.now;
  Date.now = () => {
    try {
      return real() + Number(localStorage['walk.ahead'] || 0);
    } catch {
      return real(); // a page that shows an error has no storage
    }
  };
  const { debug } = console;
  const { stringify } = JSON;
  let told = 0;
  // Twice: nobody hears the console of a page that is being left, and storage may fail, which is to be found out.
  const walkTells = (kind: string, what: object) => {
    const line = stringify([kind, what]);
    debug(telling + line);
    localStorage[`${telling}${real()}.${performance.timeOrigin}.${told++}`] = line;
  };
  Object.assign(window, { walkTells });
};

export const html = (
  collector: string,
  name: string,
  apiKey: string,
  options: object,
) => `<!doctype html><title>A shop</title>
  <style>body { margin: 0; height: 5000px } .b { position: fixed; width: 90px; height: 30px; left: 10px }</style>
  <button class="b" id="buy" style="top: 10px">Buy “now” – 12 €</button>
  <button class="b" id="dead" style="top: 50px">Nothing</button>
  <a class="b" id="on" href="next" style="top: 90px">On</a>
  <a class="b" id="out" href="https://elsewhere.example/?token=x" onclick="return false" style="top: 130px">Out</a>
  <div class="b" data-no-track style="top: 170px"><button id="quiet">Quiet</button></div>
  <form class="b" name="search" style="top: 210px" onsubmit="return false"><input name="words"></form>
  <script src="${collector}/sdk.js"></script>
  <script>
    if (window.maidian) maidian.initTracking({ // else the network went before the script came
      apiUrl: '${collector}/${name}', apiKey: '${apiKey}', ...${JSON.stringify(options)},
      beforeSend: (event) => walkTells('made', event),
    });
    if (window.maidian) maidian.getTracking().watch((fate, [{ event_id, anonymous_id, properties }], why) => {
      const $sequence = properties && properties.$sequence;
      if (fate === 'dropped' || fate === 'rejected') walkTells('lost', { fate, why, event_id, anonymous_id, $sequence });
    });
  </script>`;

/** What visitors do, and how often. */
const habits = {
  click: 10,
  scroll: 6,
  route: 6,
  track: 12,
  submit: 3,
  flush: 6,
  hide: 3,
  link: 2,
  visit: 2,
  reload: 2,
  back: 2,
  open: 3,
  close: 2,
  closeInFull: 3,
  offline: 3,
  online: 5,
  weather: 8,
  later: 11,
  large: 2,
  identify: 2,
  reset: 1,
};
type Habit = keyof typeof habits;
const loads: Habit[] = ['link', 'visit', 'reload', 'back', 'open'];

/** What a page that is on its way elsewhere, or gone, answers to whoever asks it for something. */
const gone = /context was destroyed|has been closed|navigat|net::|ERR_|interrupted|detached|Timeout/;

export const openLane = async (browser: Browser, blank: string): Promise<Lane> => {
  const context = await browser.newContext({ viewport: { width: 600, height: 400 } });
  await context.addInitScript(watchman, TELLING);
  const lane: Lane = { context, tab: await context.newPage() };
  await (await context.newPage()).goto(blank); // so that the process that shows the site stays when the last tab is closed
  context.on('console', (message) => {
    const text = message.text();
    if (lane.walk && text.startsWith(TELLING)) hear(lane.walk, text.slice(TELLING.length));
  });
  context.on('weberror', (error) => lane.walk?.errors.push(error.error().message));
  return lane;
};

export const openWalk = (seed: number): Walk => {
  const sky: Sky = { chance: openChance(~seed), troubles: [], share: 0, met: {} };
  return { seed, story: [], made: new Map(), lost: new Map(), sky, offsets: [0], left: 0, errors: [] };
};

/** One visitor's way through a site, from the first page to the last; then the network is healed and they come once more. */
export const takeWalk = async (walk: Walk, site: string, lane: Lane): Promise<void> => {
  lane.walk = walk;
  const visitor = openVisitor(lane, site, openChance(walk.seed), walk);
  await visitor.goAbout();
  lane.tab = await visitor.comeOnceMore();
};

const hear = ({ made, lost }: Walk, line: string) => {
  const [kind, what] = JSON.parse(line);
  if (kind === 'made') made.set(what.event_id, what);
  else lost.set(what.event_id, what);
};

/** Somebody with a browser, and all that they may do with it. */
const openVisitor = ({ context, tab: first }: Lane, home: string, chance: Chance, walk: Walk) => {
  const { sky, offsets } = walk;
  const began = Date.now();
  const say = (what: string) => walk.story.push(`${((Date.now() - began) / 1000).toFixed(2).padStart(6)} s  ${what}`);
  let tabs = [first];
  let pages = 0;
  let numbered = 0;
  const address = () => `${home}/${++pages}${chance.happens(0.2) ? `?utm_source=s${chance.from(1, 3)}` : ''}`;
  const arrived = () => chance.of(['commit', 'domcontentloaded', 'domcontentloaded'] as const);

  /** In the page, if it has the SDK: a page that could not be loaded has not. */
  const inPage = <A>(tab: Page, what: (argument: A) => unknown, argument: A) =>
    tab.evaluate(
      ([code, given]) => {
        // biome-ignore lint/security/noGlobalEval: the function above, which the page gets as its text
        if ('maidian' in window) globalThis.eval(`(${code})`)(given);
      },
      [`${what}`, argument] as const,
    );
  const visit = (tab: Page) => tab.goto(address(), { waitUntil: arrived(), timeout: PATIENCE });
  const open = async () => {
    const tab = await context.newPage();
    tabs.push(tab);
    await visit(tab);
  };
  const close = async (tab: Page, properly: boolean) => {
    tabs = tabs.filter((other) => other !== tab);
    // A tab that is on its way elsewhere may not hear that it is to go.
    const closed = tab.waitForEvent('close', { timeout: 2000 }).catch(() => tab.close());
    const late = new Promise((_, fail) => setTimeout(fail, PATIENCE, Error('Timeout: the tab does not close')));
    await Promise.race([tab.close({ runBeforeUnload: properly }).then(() => closed), late]);
  };
  const track = (tab: Page, events: number) => {
    const from = numbered;
    numbered += events;
    return inPage(
      tab,
      ([first, last]: number[]) => {
        for (let n = first; n < last; n++) {
          maidian.trackEvent(`step_${n % 7}`, {
            properties: { n, note: `Größe ${n} “😀”\u2028`, list: [n, null, { n }] },
          });
        }
      },
      [from, numbered],
    );
  };
  const putClockForward = async (tab: Page, ms: number) => {
    const ahead = (offsets.at(-1) ?? 0) + ms;
    offsets.push(ahead);
    await inPage(tab, (to: number) => localStorage.setItem('walk.ahead', `${to}`), ahead);
  };

  const changeWeather = () => {
    sky.share = chance.of([0, 0.3, 0.6, 1]);
    sky.troubles = Array.from({ length: chance.from(1, 3) }, () => chance.of(everyTrouble));
    say(`a share of ${sky.share} is ${sky.troubles.join(', or ')}`);
  };

  let offline = false;
  const setOffline = (is: boolean) => {
    offline = is;
    return context.setOffline(is);
  };

  const does: Record<Habit, (tab: Page) => unknown> = {
    click: (tab) => tab.mouse.click(chance.from(12, 95), chance.of([25, 65, 145, 185, 225])),
    scroll: (tab) => inPage(tab, (share: number) => scrollTo(0, share * 5000), chance.from(0, 10) / 10),
    route: (tab) =>
      inPage(tab, ([how, to]: string[]) => history[how as 'pushState']({}, '', to), [
        chance.of(['pushState', 'pushState', 'replaceState']),
        address(),
      ]),
    track: (tab) => track(tab, chance.from(1, 30)),
    submit: (tab) => inPage(tab, () => document.forms[0].requestSubmit(), null),
    flush: (tab) => inPage(tab, () => void maidian.forceFlush(), null),
    hide: (tab) =>
      inPage(
        tab,
        () => {
          for (const state of ['hidden', 'visible']) {
            Object.defineProperty(document, 'visibilityState', { value: state, configurable: true });
            document.dispatchEvent(new Event('visibilitychange', { bubbles: true }));
          }
        },
        null,
      ),
    link: (tab) => tab.mouse.click(20, 100),
    visit,
    reload: (tab) => tab.reload({ waitUntil: arrived(), timeout: PATIENCE }),
    back: (tab) => tab.goBack({ waitUntil: 'commit', timeout: 1000 }),
    open: () => tabs.length < 4 && open(),
    close: (tab) => close(tab, chance.happens(0.5)),
    closeInFull: async (tab) => {
      await track(tab, chance.from(1, 40));
      if (chance.happens(0.5)) await inPage(tab, () => void maidian.forceFlush(), null);
      await close(tab, chance.happens(0.7));
    },
    offline: () => setOffline(true),
    online: () => setOffline(false),
    weather: changeWeather,
    later: async (tab) => {
      await putClockForward(tab, chance.of([3000, 3000, 20_000, 3 * MINUTE, 40 * MINUTE]));
      await inPage(tab, () => void maidian.forceFlush(), null);
    },
    large: (tab) => inPage(tab, () => maidian.trackEvent('large', { properties: { text: 'x'.repeat(70_000) } }), null),
    identify: (tab) => inPage(tab, (id: string) => maidian.identify(id), `${walk.seed}-${chance.from(1, 2)}`),
    reset: (tab) => inPage(tab, () => maidian.reset(), null),
  };

  /** Makes more events than the queue takes, where none can leave. */
  const flood = async (tab: Page) => {
    say('flood');
    await setOffline(true);
    await track(tab, chance.from(1001, 1200));
  };

  const goAbout = async () => {
    await visit(first);
    if (chance.happens(0.9)) changeWeather();
    const floods = chance.happens(0.02);
    for (let steps = chance.from(6, 10); steps > 0; steps--) {
      if (!tabs.length) await open().catch(forgive);
      const tab = chance.of(tabs);
      const wish = chance.weighed(habits);
      // Few stay to load pages that do not come.
      const habit = offline && loads.includes(wish) && chance.happens(0.9) ? 'track' : wish;
      say(`${habit}${tabs.length > 1 ? ` in tab ${tabs.indexOf(tab) + 1} of ${tabs.length}` : ''}`);
      try {
        await does[habit](tab);
        if (floods && steps === 3) await flood(tab);
      } catch (error) {
        forgive(error);
      }
    }
    if (chance.happens(0.02)) {
      say('stays away for more than a week');
      for (const tab of tabs.slice(0, 1)) await putClockForward(tab, 8 * 24 * HOUR).catch(forgive);
    }
    for (const tab of tabs.slice(1)) await close(tab, chance.happens(0.5)).catch(forgive);
  };
  const forgive = (error: unknown) => {
    if (!gone.test(`${error}`)) throw error;
    say(`  ${`${error}`.split('\n')[0].slice(0, 80)}`);
  };

  /** With a network that works again, and after any pause that the collector asked for, until nothing is left to send. */
  const comeOnceMore = async () => {
    sky.share = 0;
    await setOffline(false);
    const [tab = await context.newPage()] = tabs;
    for (const until = Date.now() + PATIENCE; Date.now() < until; ) {
      const failed = await tab.goto(address()).catch((error) => error); // it may have been on its way elsewhere
      if (!(failed instanceof Error)) break;
    }
    await putClockForward(tab, HOUR);
    const last = () =>
      tab.evaluate(async () => {
        for (let tries = 0; tries < 100 && !(await maidian.forceFlush()); tries++) {
          await new Promise((soon) => setTimeout(soon, 50));
        }
        maidian.trackEvent('goodbye'); // has something to report in, if anything was lost
        await maidian.forceFlush();
        return maidian.getQueueLength();
      });
    walk.left = (await last()) && (await last());
    const notes = await tab.evaluate(
      (telling) =>
        Object.keys(localStorage)
          .filter((key) => key.startsWith(telling))
          .map((key) => localStorage[key]),
      TELLING,
    );
    for (const line of notes) hear(walk, line);
    await tab.evaluate(() => {
      maidian.shutdown(); // leaving is no part of the walk
      localStorage.clear();
      indexedDB.deleteDatabase('maidian');
    });
    return tab;
  };
  return { goAbout, comeOnceMore };
};
