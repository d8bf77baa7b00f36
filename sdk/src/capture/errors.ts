import { stringify } from '../json.js';
import { inOneGo, listen } from '../listen.js';
import { cleanUrl } from '../page.js';
import type { Capture } from '../tracking.js';

const MOST = 10; // in a minute
const MINUTE = 60_000;
const LINES = 10;
const LONGEST_LINE = 300;

/** A text of the page's making, cut, and with the addresses in it cleaned. */
const clean = (text: unknown, lines = 1) =>
  `${text}`
    .split('\n', lines)
    .map((line) => line.slice(0, LONGEST_LINE).replace(/\w+:\/\/[^\s"'()]+/g, cleanUrl))
    .join('\n');

/** `error`: a script's error that nobody caught, or a promise's; the same once a page, and ten a minute at most. */
export const errors: Capture = ({ track, navigation }) => {
  const told = new Set<string>();
  const times: number[] = [];

  const tell = (kind: string, thrown: unknown, { filename, lineno, colno }: Partial<ErrorEvent> = {}) => {
    const properties = {
      kind,
      message: clean(thrown),
      source: (filename && cleanUrl(filename)) || undefined,
      line: lineno,
      column: colno,
      stack: clean((thrown && (thrown as Error).stack) || '', LINES) || undefined,
    };
    const same = stringify(properties);
    const now = performance.now();
    if (told.has(same) || now - times[times.length - MOST] < MINUTE) return;
    told.add(same);
    times.push(now);
    track('error', { properties });
  };

  navigation.onNavigate(() => told.clear());
  return inOneGo([
    listen<ErrorEvent>('error', (event) => {
      if (event.message) tell('error', event.error || event.message, event); // else a picture or a script did not load
    }),
    listen<PromiseRejectionEvent>('unhandledrejection', ({ reason }) => tell('rejection', reason)),
  ]);
};
