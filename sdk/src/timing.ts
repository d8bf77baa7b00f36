/** How the document came here, as far as the browser says. */
export const navigationTiming = () =>
  (performance.getEntriesByType('navigation')[0] || {}) as Partial<PerformanceNavigationTiming> & {
    activationStart?: number;
  };

/** Seconds from the navigation's start to the end of loading, once the page has loaded. */
export const loadTime = (): number | undefined => {
  const { loadEventEnd } = navigationTiming();
  return loadEventEnd ? Math.round(loadEventEnd) / 1000 : undefined;
};
