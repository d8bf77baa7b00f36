import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type App, createApp, createSSRApp, defineComponent, h, nextTick, ref, withDirectives } from 'vue';
import { renderToString } from 'vue/server-renderer';
import { type Fields, forceFlush, getQueueLength, getTracking, shutdown } from '../src/index.js';
import { maidian, type Router, type Tracked, useTracking, type VueOptions, vTrack } from '../src/vue.js';
import { fakeCollector } from './collector.js';

const options: VueOptions = { apiKey: 'wk_1', apiUrl: 'https://c.example', autoTrack: false };

let collector: ReturnType<typeof fakeCollector>;
let app: App | undefined;
let place: HTMLElement;

const mount = (component: Parameters<typeof createApp>[0], more: Partial<VueOptions> = {}) => {
  app = createApp(component);
  app.use(maidian, { ...options, ...more });
  app.mount(place);
};
const arrived = async (): Promise<Fields[]> => {
  await forceFlush();
  return [...collector.stored.values()];
};
const types = async () => (await arrived()).map(({ event_type }) => event_type);

beforeEach(() => {
  localStorage.clear();
  collector = fakeCollector();
  place = document.body.appendChild(document.createElement('div'));
});
afterEach(() => {
  app?.unmount();
  app = undefined;
  place.remove();
  shutdown();
  vi.unstubAllGlobals();
});

test('the plugin starts tracking, and components get at it', () => {
  let seen: unknown;
  mount({
    setup: () => {
      seen = useTracking();
      return () => h('p');
    },
  });
  expect(seen).toBe(getTracking());
  expect(seen).toBeDefined();
});

test('v-track tracks a click, or what it names, with the fields as they are then', async () => {
  const plan = ref('free');
  const Page = defineComponent(() => () => [
    withDirectives(h('button', { id: 'a' }), [[vTrack, 'signup' as Tracked]]),
    withDirectives(h('input', { id: 'b' }), [
      [vTrack, ['plan_looked_at', { properties: { plan: plan.value } }] as Tracked, 'focus'],
    ]),
  ]);
  mount(Page);
  place.querySelector('#a')?.dispatchEvent(new Event('click'));
  plan.value = 'pro';
  await nextTick();
  place.querySelector('#b')?.dispatchEvent(new Event('click'));
  place.querySelector('#b')?.dispatchEvent(new Event('focus'));
  expect(await arrived()).toMatchObject([
    { event_type: 'signup' },
    { event_type: 'plan_looked_at', properties: { plan: 'pro' } },
  ]);
});

test('the directive is there by name', async () => {
  mount({ template: `<button v-track="'signup'"></button>` });
  expect(app?.directive('track')).toBe(vTrack);
});

/** What of Vue Router the plugin uses; the real one calls its hooks after it has changed the address. */
const fakeRouter = () => {
  const hooks: Parameters<Router['afterEach']>[0][] = [];
  const home = { name: 'home', matched: [{ path: '/' }] };
  return {
    afterEach: (hook: (typeof hooks)[number]) => hooks.push(hook),
    go: (path: string, route: typeof home | { name?: string; matched: { path: string }[] }, failure?: Error) => {
      if (!failure) history.pushState({}, '', path);
      hooks.forEach((hook) => hook(route, home, failure));
    },
  };
};

test.each([true, undefined, { clicks: false }])(
  'with a router (autoTrack %o), each route is viewed once, after the last was left',
  async (autoTrack) => {
    const router = fakeRouter();
    mount({ render: () => h('p') }, { router, autoTrack });
    router.go('/product/7', { name: 'product', matched: [{ path: '/' }, { path: '/product/:id' }] });
    document.title = 'Bowl';
    await vi.waitFor(async () => expect(await types()).toContain('page_view'));
    router.go('/secret', { matched: [] }, new Error('aborted'));
    router.go('/cart', { matched: [{ path: '/cart' }] });
    await vi.waitFor(async () => expect((await types()).filter((type) => type === 'page_view')).toHaveLength(2));
    const events = await arrived();
    expect(events.filter(({ event_type }) => event_type === 'page_view')).toMatchObject([
      {
        page_title: 'Bowl',
        page_url: expect.stringMatching(/\/product\/7$/),
        properties: { route: 'product', route_path: '/product/:id' },
      },
      { page_url: expect.stringMatching(/\/cart$/), properties: { route_path: '/cart' } },
    ]);
    expect((await types()).slice(0, 2)).toEqual(['page_leave', 'page_view']);
  },
);

test('with a router and nothing automatic, only the router speaks', async () => {
  const router = fakeRouter();
  mount({ render: () => h('p') }, { router });
  router.go('/cart', { matched: [{ path: '/cart' }] });
  await vi.waitFor(async () => expect(await types()).toEqual(['page_view']));
});

test('on a server nothing happens but the rendering', async () => {
  const router = fakeRouter();
  vi.stubGlobal('document', undefined);
  const Page = defineComponent(() => {
    const tracking = useTracking();
    return () => withDirectives(h('button', tracking ? 'tracked' : 'not yet'), [[vTrack, 'signup' as Tracked]]);
  });
  const server = createSSRApp(Page);
  server.use(maidian, { ...options, router });
  expect(await renderToString(server)).toBe('<button>not yet</button>');
  expect(router.afterEach(() => {})).toBe(1);
  expect(getQueueLength()).toBe(0);
});
