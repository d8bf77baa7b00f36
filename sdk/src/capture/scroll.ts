import { onDepth } from '../depth.js';
import type { Capture } from '../tracking.js';

const MARKS = [25, 50, 75, 90, 100];

/** `scroll`: each mark that is reached or passed, once a page. */
export const scroll: Capture = ({ track, navigation }) => {
  let passed = 0; // how many of the marks
  navigation.onNavigate(() => {
    passed = 0;
  });
  return onDepth((percent) => {
    while (percent >= MARKS[passed]) track('scroll', { scroll_depth: MARKS[passed++] });
  });
};
