import { elementFields, isSilent, meaningful } from '../element.js';
import { listen } from '../listen.js';
import { cleanUrl } from '../page.js';
import type { Capture } from '../tracking.js';

/** `click`: which element, where on the page, and where its link leads. */
export const clicks: Capture = ({ track }) =>
  listen<MouseEvent>(document, 'click', (event) => {
    const target = event.composedPath()[0];
    if (!(target instanceof Element) || isSilent(target)) return;
    if (target.closest('label')?.control && !target.closest('a,button,input')) return; // the click on its control follows
    const element = meaningful(target);
    const href = element.closest('a')?.href;
    const byPointer = event.pageX !== 0 || event.pageY !== 0; // a click made with the keyboard has no place
    track('click', {
      ...elementFields(element),
      x_position: byPointer ? Math.round(event.pageX) : undefined,
      y_position: byPointer ? Math.round(event.pageY) : undefined,
      properties: { tag: element.localName, href: href ? cleanUrl(String(href)) : undefined },
    });
  });
