const SECRET = RegExp(
  '(' +
    '(token|passw|secret|e-?mail|(api|access|private)[_-]?key|credential|authoriz|signature|session|sessid)[^=&%]*|' + // anywhere in a name
    '(^|[^a-z]|%..)(o?auth|pass|pwd|otp|jwt|sid|sig|phone|ssn|cvv|cvc|iban)([^a-z=&%][^=&%]*)?' + // a whole word of it
    ')(%5d)?(=|%(25)*3d)', // of this address, or of another one that is a value in it
  'i',
);
const LONGEST = 2048;

let hidden: string[] = [];

/** Adds to the names of query parameters that `cleanUrl` cuts out. */
export const hideParams = (names: string[] = []): void => {
  hidden = names.map((name) => name.toLowerCase());
};

const isSecret = (parameter: string) =>
  SECRET.test(parameter) || hidden.includes(parameter.toLowerCase().split('=')[0]);

/** An address without user and password, and without the query parameters whose names promise a secret or a person. */
export const cleanUrl = (url: string): string =>
  url
    .slice(0, LONGEST)
    .replace(/^(data|blob|javascript):[\s\S]*/i, '$1:')
    .replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/?#@]*@/i, '$1')
    .replace(/([?#&;])([^?#&;=]+=[^#&;]*)/g, (all, before, parameter) => (isSecret(parameter) ? before : all))
    .replace(/([?#&;])[&;]+/g, '$1')
    .replace(/[?&;]+(?=#|$)|#$/g, '');

let viewport = '';

/** Reading the window's size may have the whole page laid out: once is enough until it changes. */
const viewportSize = () => {
  const forget = () => {
    viewport = '';
  };
  if (!viewport) addEventListener('resize', forget, { once: true });
  viewport = viewport || `${innerWidth}x${innerHeight}`;
  return viewport;
};

/** What the browser says about the page, for every event. */
export const pageFields = () => ({
  page_url: cleanUrl(location.href),
  page_title: document.title,
  screen_resolution: `${screen.width}x${screen.height}`,
  viewport_size: viewportSize(),
});

/** How the document came here, as far as the browser says. */
export const navigationTiming = () =>
  (performance.getEntriesByType('navigation')[0] || {}) as Partial<PerformanceNavigationTiming> & {
    activationStart?: number;
  };

/** Seconds from the navigation's start to the end of loading, once the page has loaded. */
export const loadTime = (): number | undefined => {
  const { loadEventEnd } = navigationTiming();
  return loadEventEnd ? Math.round(loadEventEnd) / 1000 : undefined;
};
