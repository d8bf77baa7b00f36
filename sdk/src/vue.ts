import { type Directive, type InjectionKey, inject, type Plugin } from 'vue';
import { type Fields, initTracking, type Options, type Tracking, trackEvent } from './index.js';

/** What is used of Vue Router. */
export interface Router {
  afterEach(hook: (to: Route, from: Route, failure?: unknown) => void): unknown;
}
interface Route {
  name?: unknown;
  matched: { path: string }[];
}

export interface VueOptions extends Options {
  /** The app's router: page views then come from it, with the name and the pattern of the route. */
  router?: Router;
}

/** An event's type, or the type and its fields. */
export type Tracked = string | [type: string, fields?: Fields];

const key: InjectionKey<Tracking | undefined> = Symbol('maidian');
const tracked = new WeakMap<Element, Tracked>();

/** `v-track="'signup'"` tracks a click, `v-track:focus="['signup', { properties }]"` another DOM event, with fields. */
export const vTrack: Directive<Element, Tracked, string, string> = {
  mounted: (element, { value, arg = 'click' }) => {
    tracked.set(element, value);
    const hear = () => {
      const [type, fields] = [tracked.get(element)].flat() as [string, Fields?];
      trackEvent(type, fields);
    };
    element.addEventListener(arg, hear, { passive: true });
  },
  updated: (element, { value }) => {
    tracked.set(element, value);
  },
};

const withoutPageViews = ({ autoTrack = true, ...options }: Options): Options => ({
  ...options,
  autoTrack: autoTrack && { ...(autoTrack !== true && autoTrack), pageViews: false },
});

/** `app.use(maidian, options)` starts tracking and adds `v-track`. */
export const maidian: Plugin<[VueOptions]> = {
  install: (app, { router, ...options }) => {
    const tracking = initTracking(router ? withoutPageViews(options) : options);
    app.provide(key, tracking);
    app.directive('track', vTrack);
    if (!tracking) return; // on a server
    router?.afterEach(({ name, matched }, _, failure) => {
      const properties = { route: name ?? undefined, route_path: matched[matched.length - 1]?.path };
      // Later, when the page that was left has been told of and the new one has set its title.
      if (!failure) setTimeout(tracking.trackPageView, 0, { properties });
    });
  },
};

/** The running tracking, in components of an app that uses the plugin; undefined on a server. */
export const useTracking = (): Tracking | undefined => inject(key, undefined);

declare module 'vue' {
  interface GlobalDirectives {
    vTrack: typeof vTrack;
  }
}
