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
  if (!viewport) {
    viewport = `${innerWidth}x${innerHeight}`;
    addEventListener('resize', forget, { once: true });
  }
  return viewport;
};

/** What the browser says about the page, for every event, besides its address. */
export const pageFields = () => ({
  page_title: document.title,
  screen_resolution: `${screen.width}x${screen.height}`,
  viewport_size: viewportSize(),
});
