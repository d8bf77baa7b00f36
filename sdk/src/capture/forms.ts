import { isSilent } from '../element.js';
import { listen } from '../listen.js';
import { cleanUrl } from '../page.js';
import type { Capture } from '../tracking.js';

const MOST_FIELDS = 50;

/** `form_submit`: which form, and the names of its fields. Never what is in them. */
export const forms: Capture = ({ track }) =>
  listen(document, 'submit', (event) => {
    const form = event.target;
    if (!(form instanceof HTMLFormElement) || isSilent(form)) return;
    const attribute = (name: string) => form.getAttribute(name) || undefined; // form.name may be one of its fields
    const names = Array.from(form.elements)
      .filter((field) => !isSilent(field))
      .map((field) => field.getAttribute('name') ?? '');
    track('form_submit', {
      element_id: attribute('id'),
      element_class: attribute('class'),
      properties: {
        form_name: attribute('name'),
        action: cleanUrl(attribute('action') ?? '') || undefined,
        fields: [...new Set(names)].filter(Boolean).slice(0, MOST_FIELDS),
      },
    });
  });
