/** What a visitor would say was clicked. */
export const MEANINGFUL =
  'a,button,summary,input,select,textarea,[role=button],[role=link],[role=tab],[role=menuitem],[onclick]';
/** Where visitors write and choose, and what is not to be told anyway. */
export const PRIVATE = 'input,textarea,select,[contenteditable],[data-no-track],script,style';
const LONGEST = 100;

/** The element or the first around it that matches, also outside the shadow tree in which it stands. */
export const nearest = (element: Element, selector: string): Element | null => {
  const { host } = element.getRootNode() as ShadowRoot;
  return element.closest(selector) || (host ? nearest(host, selector) : null);
};

/** Whether the page asked for silence about this element or anything around it. */
export const isSilent = (element: Element): boolean => !!nearest(element, '[data-no-track]');

/** The link that an element is or stands in. */
export const linkOf = (element: Element): HTMLAnchorElement | undefined => {
  const link = nearest(element, 'a[href]');
  return link instanceof HTMLAnchorElement ? link : undefined;
};

/** Text on one line, cut; none when it is empty. */
export const brief = (text: string | null): string | undefined =>
  (text || '').replace(/\s+/g, ' ').trim().slice(0, LONGEST) || undefined;

/** Visible text of an element, without anything that a visitor may have typed or that is not to be tracked. */
export const textOf = (element: Element): string | undefined => {
  let text = '';
  const collect = (node: Node, depth: number) => {
    for (const child of node.childNodes) {
      if (text.length > LONGEST * 2) return;
      if (child instanceof Text) text += child.data;
      else if (depth && child instanceof Element && !child.matches(PRIVATE)) collect(child, depth - 1);
    }
  };
  if (!nearest(element, PRIVATE)) collect(element, element.matches(MEANINGFUL) ? 8 : 0);
  return brief(text);
};

/** The event fields that say which element it was. */
export const elementFields = (element: Element) => {
  const attribute = (name: string) => brief(element.getAttribute(name));
  return { element_id: attribute('id'), element_class: attribute('class'), element_text: textOf(element) };
};
