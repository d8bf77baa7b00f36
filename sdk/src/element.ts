const MEANINGFUL =
  'a,button,summary,input,select,textarea,[role=button],[role=link],[role=tab],[role=menuitem],[onclick]';
const PRIVATE = 'input,textarea,select,[contenteditable],[data-no-track],script,style';
const LONGEST_TEXT = 100;

/** Whether the page asked for silence about this element or anything around it. */
export const isSilent = (element: Element): boolean => !!element.closest('[data-no-track]');

/** The element that a visitor would say was clicked: the button, not the icon in it. */
export const meaningful = (element: Element): Element => element.closest(MEANINGFUL) ?? element;

/** Visible text of an element, without anything that a visitor may have typed or that is not to be tracked. */
export const textOf = (element: Element): string | undefined => {
  const deep = element.matches(MEANINGFUL);
  let text = '';
  const collect = (node: Node, depth: number) => {
    for (const child of Array.from(node.childNodes)) {
      if (text.length > LONGEST_TEXT * 2) return;
      if (child.nodeType === Node.TEXT_NODE) text += child.nodeValue;
      else if (child instanceof Element && depth && !child.matches(PRIVATE)) collect(child, depth - 1);
    }
  };
  if (!element.closest(PRIVATE)) collect(element, deep ? 8 : 0);
  return text.replace(/\s+/g, ' ').trim().slice(0, LONGEST_TEXT) || undefined;
};

/** The event fields that say which element it was. */
export const elementFields = (element: Element) => ({
  element_id: element.id || undefined,
  element_class: element.getAttribute('class') || undefined,
  element_text: textOf(element),
});
