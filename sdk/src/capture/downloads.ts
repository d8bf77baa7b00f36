import { onLink } from '../click.js';
import { elementFields } from '../element.js';
import type { Capture } from '../tracking.js';

const FILE =
  /\.(pdf|docx?|xlsx?|pptx?|od[tsp]|csv|txt|rtf|epub|ics|zip|rar|7z|t?gz|dmg|exe|msi|pkg|deb|rpm|apk|mp[34]|m4[av]|wav|mov|avi|mkv|webm)$/i;

/** Whether a link leads to a file: it says so, or its path ends like one. */
export const isDownload = (link: HTMLAnchorElement): boolean =>
  link.hasAttribute('download') || FILE.test(link.pathname);

/** `file_download`: a link to a file is followed, on this host or another. */
export const downloads: Capture = ({ track }) =>
  onLink((link, href) => {
    if (!isDownload(link)) return;
    const file_name = link.download || (href.split(/[?#]/)[0].split('/').pop() as string);
    const [, file_extension] = /\.(\w+)$/.exec(file_name) || [];
    track('file_download', { ...elementFields(link), properties: { href, file_name, file_extension } });
  });
