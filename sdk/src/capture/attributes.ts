import { onClick } from '../click.js';
import { elementFields, isSilent, nearest } from '../element.js';
import { inOneGo, listen } from '../listen.js';
import type { Capture } from '../tracking.js';

const EVENT = 'data-track-event';
const PROPERTY = 'data-track-prop-';

const SPELLED = /^(true|false|-?(0|[1-9]\d{0,14})(\.\d+)?)$/;
const TEXTS = /name$|^category$|^query$/; // where the collector wants text, whatever it spells

/** The event that an element names in `data-track-event`, with its `data-track-prop-…`, when it is clicked or, a form, submitted. */
export const attributes: Capture = ({ track }) => {
  const tell = (element: Element) => {
    const properties: Record<string, unknown> = {};
    for (const { name, value } of element.attributes) {
      const [start, property] = name.split(PROPERTY);
      if (property && !start)
        properties[property.replace(/-/g, '_')] =
          SPELLED.test(value) && !TEXTS.test(property) ? JSON.parse(value) : value;
    }
    const type = element.getAttribute(EVENT);
    if (type) track(type, { ...elementFields(element), properties });
  };
  return inOneGo([
    onClick((_, __, target) => {
      const named = nearest(target, `[${EVENT}]:not(form)`);
      if (named) tell(named);
    }),
    listen('submit', ({ target }) => {
      if (!isSilent(target as Element)) tell(target as Element);
    }),
  ]);
};
