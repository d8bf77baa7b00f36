let log: ((...what: unknown[]) => void) | undefined;

/** Turns messages to the developer on or off; everything the SDK ever prints goes through `say`. */
export const debugTo = (to: typeof log): void => {
  log = to;
};

export const say = (...what: unknown[]): void => log?.('[maidian]', ...what);

/** `run`, but nothing it throws gets into the page. */
export const safely =
  <A extends unknown[], R>(run: (...args: A) => R) =>
  (...args: A): R | undefined => {
    try {
      return run(...args);
    } catch (error) {
      say('not tracked:', error);
      return undefined;
    }
  };
