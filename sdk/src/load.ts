import type { more } from './more-script.js';
import type { openOverlay } from './overlay.js';

/** What stands on `window.maidian` once the scripts beside this one have run. */
export interface Brought {
  openOverlay: typeof openOverlay;
  more: typeof more;
}
interface Page {
  maidian: Brought;
  trustedTypes?: { createPolicy(name: string, rules: Rules): Rules };
}
interface Rules {
  createScriptURL(name: string): string;
}

export const tag = document.currentScript as HTMLScriptElement;
let rules: Rules | undefined;

/** Runs a script that stands beside this one: it needs no more permission than this one did. */
export const load = (name: string): Promise<Brought> =>
  new Promise((done, fail) => {
    const { maidian, trustedTypes } = window as unknown as Page;
    if (!rules) {
      rules = { createScriptURL: (name) => new URL(name, tag.src).href };
      if (trustedTypes) rules = trustedTypes.createPolicy('maidian', rules);
    }
    const script = document.createElement('script');
    script.nonce = tag.nonce;
    script.src = rules.createScriptURL(name);
    script.onload = () => done(maidian);
    script.onerror = fail;
    document.head.append(script);
  });
