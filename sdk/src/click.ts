import { elementFields, isSilent, linkOf, MEANINGFUL, nearest, PRIVATE } from './element.js';
import { inOneGo, listen, type Undo } from './listen.js';
import { cleanUrl } from './page.js';

/** Hears what a visitor would say was clicked (the button, not the icon in it), and what exactly was hit. */
export type HearClick = (element: Element, event: MouseEvent, target: Element) => void;

/** Calls `hear` with each click that may be told; with those of other buttons when the type is `auxclick`. */
export const onClick = (hear: HearClick, type = 'click'): Undo =>
  listen<MouseEvent>(type, (event) => {
    const target = event.composedPath()[0] as Element;
    const { control } = (target.closest('a,button,input,label') || {}) as HTMLLabelElement;
    if (isSilent(target) || control) return; // of a label, the click on its control follows
    hear(nearest(target, MEANINGFUL) || target, event, target);
  });

/** The same for links that are followed, here or in another tab. */
export const onLink = (hear: (link: HTMLAnchorElement, href: string) => void): Undo => {
  const follow: HearClick = (element, { button }) => {
    const link = linkOf(element);
    if (link && button < 2) hear(link, cleanUrl(link.href));
  };
  return inOneGo([onClick(follow), onClick(follow, 'auxclick')]);
};

const OWN_WAYS = `${PRIVATE},label,canvas,video,audio,iframe`;

/** Whether a click expects an answer that can be seen here: not made by keyboard or script, nor to write or mark text. */
export const isPlain = ({ detail }: MouseEvent, target: Element): boolean =>
  detail > 0 &&
  !nearest(target, OWN_WAYS) &&
  (!!nearest(target, MEANINGFUL) || (getSelection() as Selection).type !== 'Range');

/** The event fields that say what was clicked, where, and where it leads. */
export const clickFields = (element: Element, { pageX, pageY, clientX, clientY }: MouseEvent) => {
  const place = (n: number) => (pageX || pageY ? Math.round(n) : undefined); // one made with the keyboard has none
  const link = linkOf(element);
  return {
    ...elementFields(element),
    x_position: place(pageX),
    y_position: place(pageY),
    properties: {
      tag: element.localName,
      href: link && cleanUrl(link.href),
      viewport_x: place(clientX),
      viewport_y: place(clientY),
    },
  };
};
