type Hear = (...what: unknown[]) => void;

let hear: Hear | undefined;

/** Who hears what went wrong inside the SDK: nobody, unless a feature wants to know. */
export const errorsTo = (to?: Hear): void => {
  hear = to;
};

/** Tells of something that went wrong, and that the page must not notice. */
export const say: Hear = (...what) => hear && hear(...what);

/** `run`, but nothing it throws gets into the page. */
export const safely =
  <A extends unknown[], R>(run: (...args: A) => R) =>
  (...args: A): R | undefined => {
    try {
      return run(...args);
    } catch (error) {
      say(error);
      return undefined;
    }
  };
