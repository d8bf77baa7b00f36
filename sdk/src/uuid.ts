let lastTime = 0;
let sequence = 0;

const hex = (n: number, width: number) => n.toString(16).padStart(width, '0');

/** A UUIDv7: sorts by the time of its making, and within one millisecond by the order of its making. */
export const uuid = (now = Date.now(), random = crypto.getRandomValues(new Uint8Array(8))): string => {
  sequence = now === lastTime ? (sequence + 1) & 0xfff : 0;
  lastTime = now;
  random[0] = (random[0] & 0x3f) | 0x80;
  const digits = `${hex(now, 12)}7${hex(sequence, 3)}${Array.from(random, (byte) => hex(byte, 2)).join('')}`;
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
};

/** When a UUIDv7 was made, in epoch milliseconds. */
export const timeOf = (id: string): number => Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
