import { elementFields, isSilent } from '../element.js';
import { listen } from '../listen.js';
import { cleanUrl } from '../page.js';
import type { Capture } from '../tracking.js';

const MOST_FIELDS = 50;

/** `form_submit`: which form, and the names of its fields. Never what is in them. */
export const forms: Capture = ({ track }) =>
  listen('submit', ({ target }) => {
    const form = target as HTMLFormElement;
    if (isSilent(form)) return;
    const fields = new Set<string>();
    for (const field of form.elements) {
      const name = field.getAttribute('name');
      if (name && fields.size < MOST_FIELDS && !isSilent(field)) fields.add(name);
    }
    const attribute = (name: string) => form.getAttribute(name) || ''; // form.name may be one of its fields
    track('form_submit', {
      ...elementFields(form),
      properties: {
        form_name: attribute('name') || undefined,
        action: cleanUrl(attribute('action')) || undefined,
        fields: [...fields],
      },
    });
  });
