const { sort } = Array.prototype;

/** `list.forEach`, without the list's own methods, which a page may have replaced by worse ones. */
export const each = <T>(list: ArrayLike<T>, use: (item: T, i: number) => void): void => {
  for (let i = 0; i < list.length; i++) use(list[i], i);
};

/** The list itself, sorted by the browser's own method. */
export const sorted = (list: string[]): string[] => sort.call(list);
