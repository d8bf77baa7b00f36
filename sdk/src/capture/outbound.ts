import { onLink } from '../click.js';
import { elementFields } from '../element.js';
import type { Capture } from '../tracking.js';
import { isDownload } from './downloads.js';

/** `outbound_click`: a link to another host is followed. A file there is told as a download only. */
export const outbound: Capture = ({ track }) =>
  onLink((link, href) => {
    const { host, protocol } = link;
    if (/^http/.test(protocol) && host !== location.host && !isDownload(link)) {
      track('outbound_click', { ...elementFields(link), properties: { href, host } });
    }
  });
