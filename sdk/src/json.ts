/** The browser's own, taken down before a page replaces it. */
export const { parse, stringify } = JSON;

/** What a text says; undefined when it is not JSON. */
// biome-ignore lint/suspicious/noExplicitAny: whoever reads it knows what it wrote
export const parsed = (text: string | null): any => {
  try {
    return parse(text as string);
  } catch {
    return undefined;
  }
};
