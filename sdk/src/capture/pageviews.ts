import { inOneGo, listen, onHidden } from '../listen.js';
import { loadTime } from '../timing.js';
import type { Capture } from '../tracking.js';

/** `page_view`: the first once the page has loaded, with its load time, or when it is left before; then one a navigation. */
export const pageViews: Capture = ({ track, navigation }) => {
  const timestamp = Date.now();
  let viewed = false;
  const first = () => {
    if (viewed) return;
    viewed = true;
    track('page_view', { timestamp, load_time: loadTime() });
  };
  const afterLoad = () => setTimeout(first); // the load event must be over for its time to be known
  const undo = [listen('load', afterLoad), onHidden(first)];
  if (document.readyState === 'complete') first();
  navigation.onNavigate(() => {
    first();
    track('page_view');
  });
  return inOneGo(undo);
};
