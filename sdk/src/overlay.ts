import type { Fate } from './delivery.js';
import type { Watcher } from './feature/watch.js';
import type { Undo } from './listen.js';
import type { Fields } from './tracking.js';

/** What the page shows of the SDK's work to whoever adds `?maidian_debug=1` to its address. */
export interface Overlay {
  show: Watcher;
  close: Undo;
}

const MOST_ROWS = 200;
const OPEN: Fate[] = ['queued', 'sending', 'waiting'];

const STYLE = `
:host { all: initial; position: fixed; z-index: 2147483647; right: 12px; bottom: 12px; color-scheme: dark; }
section { width: min(380px, calc(100vw - 24px)); max-height: min(420px, 60vh); display: flex; flex-direction: column;
  font: 12px/1.5 ui-monospace, Menlo, Consolas, monospace; color: #e8eaf0; background: #14161c; border: 1px solid #343947;
  border-radius: 8px; box-shadow: 0 8px 30px #0009; overflow: hidden; }
header { display: flex; gap: 10px; align-items: center; padding: 6px 6px 6px 12px; background: #1d2029; }
header b { margin-right: auto; }
button { all: unset; cursor: pointer; padding: 0 8px; border-radius: 4px; font-size: 16px; line-height: 22px; }
button:hover, summary:hover { background: #2b303d; }
button:focus-visible, summary:focus-visible { outline: 2px solid #7aa2ff; outline-offset: -2px; }
p { margin: 0; padding: 2px 12px 6px; background: #1d2029; color: #a9b0c0; }
ol { margin: 0; padding: 0; list-style: none; overflow: auto; }
li { border-top: 1px solid #262a35; }
summary { display: flex; gap: 10px; padding: 3px 12px; cursor: pointer; list-style: none; }
summary::-webkit-details-marker { display: none; }
time { color: #8b93a5; }
summary span { flex: 1; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
em { font-style: normal; color: #a9b0c0; }
[data-fate=confirmed] em { color: #6fd58b; }
[data-fate=rejected] em, [data-fate=dropped] em, .why { color: #ff8f8f; }
[data-fate=waiting] em, [data-fate=waiting] .why { color: #f2c661; }
.why { padding: 0 12px 3px; overflow-wrap: anywhere; }
.why:empty { display: none; }
pre { margin: 0; padding: 4px 12px 8px; white-space: pre-wrap; overflow-wrap: anywhere; color: #c4cad8; }
`;

const make = <K extends keyof HTMLElementTagNameMap>(tag: K, ...content: (Node | string)[]) => {
  const element = document.createElement(tag);
  element.append(...content);
  return element;
};

/** A sheet made by script needs no permission of the page's Content-Security-Policy; an element's text does. */
const dress = (root: ShadowRoot) => {
  if ('adoptedStyleSheets' in root && 'replaceSync' in CSSStyleSheet.prototype) {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    root.adoptedStyleSheets = [sheet];
  } else root.append(make('style', STYLE));
};

const clock = (timestamp: Fields['timestamp']) => new Date(timestamp ?? Date.now()).toTimeString().slice(0, 8);

/** One event: what it is and what has become of it so far; its fields when opened. */
const rowOf = (event: Fields) => {
  const fate = make('em');
  const why = make('div');
  why.className = 'why';
  const type = make('span', String(event.event_type));
  const summary = make('summary', make('time', clock(event.timestamp)), type, fate);
  const item = make('li', make('details', summary, make('pre', JSON.stringify(event, null, 2))), why);
  return {
    item,
    become: (now: Fate, because = '') => {
      item.dataset.fate = fate.textContent = now;
      why.textContent = because;
    },
  };
};

/** Shows the latest events with what becomes of each, what the collector answered, and how many still wait. */
export const openOverlay = (): Overlay => {
  const host = make('maidian-debug' as 'div');
  const root = host.attachShadow({ mode: 'open' });
  const counts = make('p');
  const list = make('ol');
  const shut = make('button', '×');
  shut.type = 'button';
  shut.ariaLabel = 'Close';
  const panel = make('section', make('header', make('b', 'Maidian'), shut), counts, list);
  // The SDK must not track how somebody looks at its tracking; it looks for this from inside and from outside the root.
  for (const silent of [host, panel]) silent.dataset.noTrack = '';
  dress(root);
  root.append(panel);
  document.documentElement.append(host);

  const close = () => host.remove();
  shut.addEventListener('click', close);

  const rows = new Map<string, ReturnType<typeof rowOf>>();
  const open = new Set<string>();
  const ended: Partial<Record<Fate, number>> = { confirmed: 0, rejected: 0, dropped: 0 };

  const row = (id: string, event: Fields) => {
    const known = rows.get(id);
    if (known) return known;
    const made = rowOf(event);
    rows.set(id, made);
    list.prepend(made.item);
    const [oldest] = rows.keys();
    if (rows.size > MOST_ROWS) {
      rows.get(oldest)?.item.remove();
      rows.delete(oldest);
    }
    return made;
  };

  const show: Watcher = (fate, events, why) => {
    for (const event of events) {
      const id = String(event.event_id);
      row(id, event).become(fate, why);
      if (OPEN.includes(fate)) open.add(id);
      else open.delete(id);
    }
    if (fate in ended) ended[fate] = (ended[fate] ?? 0) + events.length;
    counts.textContent = [
      `${open.size} waiting`,
      ...Object.entries(ended).map(([name, count]) => `${count} ${name}`),
    ].join(' · ');
  };
  show('queued', []);
  return { show, close };
};
