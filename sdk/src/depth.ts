import { listen, type Undo } from './listen.js';

const readers = new Set<(percent: number) => void>();
let stop: Undo;
let asked = false;

const measure = () => {
  asked = false;
  const percent = Math.min(100, ((scrollY + innerHeight + 1) * 100) / document.documentElement.scrollHeight);
  for (const read of readers) read(percent);
};

/** Calls `read` with how deep into the page one sees after scrolling: one look at the layout a frame, for all readers. */
export const onDepth = (read: (percent: number) => void): Undo => {
  if (!readers.size) {
    stop = listen('scroll', () => {
      if (!asked) requestAnimationFrame(measure);
      asked = true;
    });
  }
  readers.add(read);
  return () => {
    readers.delete(read);
    if (!readers.size) stop();
  };
};
