import { listen } from '../listen.js';
import type { Capture } from '../tracking.js';

const MARKS = [100, 90, 75, 50, 25];

const depth = () => {
  const { scrollHeight } = document.documentElement;
  return Math.min(100, ((scrollY + innerHeight + 1) / scrollHeight) * 100);
};

/** `scroll`: the deepest mark passed, each once a page; the page is measured once a frame at most. */
export const scroll: Capture = ({ track, navigation }) => {
  let passed = 0;
  let asked = false;
  const measure = () => {
    asked = false;
    const mark = MARKS.find((m) => depth() >= m) ?? 0;
    if (mark <= passed) return;
    passed = mark;
    track('scroll', { scroll_depth: mark });
  };
  navigation.onNavigate(() => {
    passed = 0;
  });
  return listen(window, 'scroll', () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(measure);
  });
};
