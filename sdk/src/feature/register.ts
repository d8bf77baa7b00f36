import { withTracking } from '../core.js';
import { parsed, stringify } from '../json.js';
import type { Store } from '../store.js';
import type { Feature } from '../tracking.js';

type Properties = Record<string, unknown>;

export const REGISTERED = 'md.more';

const read = (store: Store): Properties => parsed(store.get(REGISTERED)) || {};
const change = (how: (registered: Properties) => Properties) =>
  withTracking(({ store }) => store.set(REGISTERED, stringify(how(read(store)))));

/** Puts these properties on every event from now on, on later visits too; an event's own come before them. */
export const register = (properties: Properties): void => change((registered) => ({ ...registered, ...properties }));

/** The same, but what is registered already stays as it is. */
export const registerOnce = (properties: Properties): void =>
  change((registered) => ({ ...properties, ...registered }));

/** Takes a registered property off again. */
export const unregister = (name: string): void => change(({ [name]: _, ...rest }) => rest);

export const registered: Feature = ({ store, steps }) => {
  steps.push((event) => ({ ...event, properties: { ...read(store), ...event.properties } }));
};
