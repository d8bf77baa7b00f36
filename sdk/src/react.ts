'use client';
import {
  createContext,
  createElement,
  type ReactNode,
  useCallback,
  useContext,
  useEffect,
  useRef,
  useState,
} from 'react';
import { type Fields, identify, initTracking, type Options, setUserId, type Tracking, trackEvent } from './index.js';

const Running = createContext<Tracking | undefined>(undefined);

/**
 * Starts tracking when it is first shown in a browser; what is inside may track before that. Later changes of `options`
 * change nothing, and tracking goes on when it is taken away: it belongs to the page.
 */
export const MaidianProvider = ({ options, children }: { options: Options; children?: ReactNode }) => {
  const [tracking, setTracking] = useState<Tracking>();
  // biome-ignore lint/correctness/useExhaustiveDependencies: it starts once
  useEffect(() => setTracking(initTracking(options)), []);
  return createElement(Running.Provider, { value: tracking }, children);
};

/** The tracking that the provider started; undefined on a server, and until it has. */
export const useTracking = (): Tracking | undefined => useContext(Running);

/** A function that tracks this event, for `onClick` and its like; always the same one, with the fields of the last rendering. */
export const useTrackEvent = (type: string, fields?: Fields): (() => void) => {
  const latest = useRef(fields);
  useEffect(() => {
    latest.current = fields;
  });
  return useCallback(() => trackEvent(type, latest.current), [type]);
};

/** Says who the visitor is, once: null for nobody, as after a log-out; undefined as long as it is not known. */
export const useIdentify = (id: string | number | null | undefined, traits?: Record<string, unknown>): void => {
  const said = useRef<typeof id>(undefined);
  useEffect(() => {
    if (id === undefined || id === said.current) return; // strict mode runs effects twice
    said.current = id;
    if (id === null) setUserId(null);
    else identify(id, traits);
  });
};
