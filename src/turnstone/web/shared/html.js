// @ts-check
/**
 * Markup and state for all pages: htm bound to preact, and signals. Nothing of ours is in it.
 *
 * Text that is put into markup here is text: preact writes it as such.
 */

import { Component, Fragment, createContext, h, render } from "../vendor/preact.js";
import htm from "../vendor/htm.js";

export const html = htm.bind(h);
export { Component, Fragment, createContext, h, render };
export {
  useCallback, useContext, useEffect, useLayoutEffect, useMemo, useRef, useState,
} from "../vendor/preact-hooks.js";
export { batch, computed, effect, signal, untracked, useComputed, useSignal, useSignalEffect } from "../vendor/signals.js";

/**
 * A component that is drawn anew only when one of what it is given is another object.
 * @param {(props: any) => any} draw
 */
export function memo(draw) {
  return class Memo extends Component {
    /** @param {Record<string, any>} next */
    shouldComponentUpdate(next) {
      const now = /** @type {any} */ (this).props;
      const names = new Set([...Object.keys(now), ...Object.keys(next)]);
      return [...names].some((name) => now[name] !== next[name]);
    }

    render() {
      return draw(/** @type {any} */ (this).props);
    }
  };
}
