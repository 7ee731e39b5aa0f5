/** Waiting that ends early when there is a reason. */

/** Wait, or less when `stop` is aborted or the browser says that it is online again. */
export function passed(milliseconds: number, stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      stop.removeEventListener("abort", done);
      removeEventListener("online", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    stop.addEventListener("abort", done);
    addEventListener("online", done);
  });
}
