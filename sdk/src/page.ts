const SECRET = /(^|[?#&;])([^=?#&;]*(?:token|password|passwd|secret|api_?key|e-?mail|auth)[^=?#&;]*=[^#&;]*)/gi;

/** An address without the query parameters whose names promise a secret or a person. */
export const cleanUrl = (url: string): string =>
  url
    .replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/?#@]*@/i, '$1')
    .replace(SECRET, '$1')
    .replace(/([?#&;])[&;]+/g, '$1')
    .replace(/[?&;]+(?=#|$)/, '');

/** What the browser says about the page, for every event. */
export const pageFields = () => ({
  page_url: cleanUrl(location.href),
  page_title: document.title,
  screen_resolution: `${screen.width}x${screen.height}`,
  viewport_size: `${innerWidth}x${innerHeight}`,
});

/** Seconds from the navigation's start to the end of loading, once the page has loaded. */
export const loadTime = (): number | undefined => {
  const [timing] = performance.getEntriesByType?.('navigation') ?? [];
  const end = (timing as PerformanceNavigationTiming | undefined)?.loadEventEnd;
  return end ? Math.round(end) / 1000 : undefined;
};
