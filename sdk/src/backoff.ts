const FIRST = 1000;
const LONGEST_BACKOFF = 30 * 60 * 1000;
export const LONGEST_WAIT = 24 * 60 * 60 * 1000;

/** How long to wait after so many failures in a row, in milliseconds: never shorter than the server asked for. */
export const backoff = (failures: number, asked = 0): number => {
  const own = Math.min(FIRST * 2 ** failures, LONGEST_BACKOFF) * (0.5 + Math.random() / 2);
  return Math.min(Math.max(own, asked * (1 + Math.random() / 10)), LONGEST_WAIT);
};

/** The milliseconds that a Retry-After header asks for, in seconds or as a date; 0 when it asks for nothing. */
export const retryAfter = (header: string | null): number =>
  Math.max(+(header as string) * 1000 || Date.parse(header || '') - Date.now() || 0, 0);
