// @ts-check
/** Work that waits for the screen, and does not wait for ever where there is none. */

/** Milliseconds after which it is done though the screen has drawn no frame. */
const PATIENCE = 120;

/**
 * Runs at the next frame of the screen. A page that is hidden, or becomes it, has none: it runs
 * a moment later then. Gives how to call it off.
 * @param {() => void} work @param {number} notBefore milliseconds of `performance.now()`: frames
 *   before are left to others @returns {() => void}
 */
export function atNextFrame(work, notBefore = 0) {
  const stop = () => {
    cancelAnimationFrame(frame);
    clearTimeout(timer);
  };
  const run = () => {
    stop();
    work();
  };
  const look = () => {
    if (performance.now() >= notBefore) run();
    else frame = requestAnimationFrame(look);
  };
  let frame = requestAnimationFrame(look);
  const timer = setTimeout(run, PATIENCE);
  return stop;
}
