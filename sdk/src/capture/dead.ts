import { clickFields, type HearClick, isPlain, onClick } from '../click.js';
import { linkOf, MEANINGFUL, nearest } from '../element.js';
import { inOneGo, listen } from '../listen.js';
import type { Capture } from '../tracking.js';

const WAIT = 2000;
const ANSWERS = ['scroll', 'focus', 'blur', 'change', 'submit', 'toggle', 'popstate', 'visibilitychange'];
const EVERYTHING = { subtree: true, childList: true, attributes: true, characterData: true };

/** Whether the browser itself leads somewhere, however long that takes. */
const leadsAway = (element: Element, { defaultPrevented }: Event) => {
  const link = linkOf(element);
  return link && !defaultPrevented && !/^(#|javascript:)/.test(link.getAttribute('href') as string);
};

/**
 * `dead_click`: one on a thing or a text, not on the empty space between, after which nothing happened for two seconds. The
 * page is watched only for that long. What it does by itself in that time passes for an answer: some are missed, rather
 * than a working page accused.
 */
export const deadClicks: Capture = ({ track }) => {
  let timer: ReturnType<typeof setTimeout>;
  const answer = () => {
    clearTimeout(timer);
    observer.disconnect();
  };
  const observer = new MutationObserver(answer);
  const watch: HearClick = (element, event, target) => {
    answer();
    const fields = { timestamp: Date.now(), ...clickFields(element, event) };
    const isThing = fields.element_text || nearest(target, `${MEANINGFUL},img,svg`);
    if (!isThing || !isPlain(event, target)) return;
    observer.observe(document, EVERYTHING);
    observer.observe(target.getRootNode(), EVERYTHING); // it may be a shadow tree
    timer = setTimeout(() => {
      answer();
      if (!leadsAway(element, event)) track('dead_click', fields);
    }, WAIT);
  };
  return inOneGo([onClick(watch), ...ANSWERS.map((type) => listen(type, answer)), answer]);
};
