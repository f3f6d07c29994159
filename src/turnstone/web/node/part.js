// @ts-check
/** A part of the page whose module is fetched when it is first shown; says so if it does not come. */

import { html, useEffect, useState } from "../shared/html.js";
import { connection } from "../shared/stream.js";

/**
 * @param {{load: () => Promise<Record<string, any>>, name: string} & Record<string, any>} props
 *   `load` must stay the same function; what else is given goes to the part itself
 */
export function Part({ load, name, ...rest }) {
  const [found, set] = useState(/** @type {{of: any, failed: boolean}} */ ({ of: null, failed: false }));
  const [round, again] = useState(0);
  useEffect(() => {
    load().then(
      (module) => set({ of: module[name], failed: false }),
      () => set({ of: null, failed: true }),
    );
  }, [load, name, round, found.failed && connection.value === "live"]);
  if (found.of) return html`<${found.of} ...${rest} />`;
  if (!found.failed) return null;
  return html`<p class="part-failed" role="alert">
    This part of the page could not be loaded.
    <button type="button" class="small" onClick=${() => again(round + 1)}>Try again</button>
  </p>`;
}
