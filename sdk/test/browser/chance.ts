/** Numbers that look random and are the same for the same seed (mulberry32). */
export const openChance = (seed: number) => {
  let state = seed;
  /** From 0 to 1, without 1. */
  const number = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  /** A whole number, both ends included. */
  const from = (least: number, most: number) => least + Math.floor(number() * (most - least + 1));
  return {
    from,
    of: <T>(list: readonly T[]) => list[from(0, list.length - 1)],
    /** One of the names, each as often as its weight says. */
    weighed: <Name extends string>(weights: Record<Name, number>): Name => {
      const names = Object.keys(weights) as Name[];
      let left = number() * names.reduce((sum, name) => sum + weights[name], 0);
      for (const name of names) {
        left -= weights[name];
        if (left < 0) return name;
      }
      return names[0];
    },
    happens: (probability: number) => number() < probability,
  };
};

export type Chance = ReturnType<typeof openChance>;
