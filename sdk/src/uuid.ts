import { each } from './each.js';

let lastTime = 0;
let sequence = 0;

const hex = (n: number, width: number) => n.toString(16).padStart(width, '0');

/** A UUIDv7: sorts by the time of its making, and within one millisecond by the order of its making. */
export const uuid = (now = Date.now(), random = crypto.getRandomValues(new Uint8Array(8))): string => {
  sequence = now === lastTime ? (sequence + 1) & 0xfff : 0;
  lastTime = now;
  const time = hex(now, 12);
  let chance = '';
  each(random, (byte) => {
    chance += hex(byte, 2);
  });
  return `${time.slice(0, 8)}-${time.slice(8)}-7${hex(sequence, 3)}-a${chance.slice(1, 4)}-${chance.slice(4)}`;
};

/** When the UUIDv7 was made that a text ends in, in epoch milliseconds. */
export const timeOf = (text: string): number => +`0x${text.slice(-36, -28)}${text.slice(-27, -23)}`;
